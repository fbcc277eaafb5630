"""The summary of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.cli.show.output import Messages, format_counts, format_duration, pluralize, print_fields
from pipeline.cli.show.table import print_table
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.domain.batch import Progress
from pipeline.exports.rules.export_state import ExportState

#: Number of labels in the table; the JSON has all of them.
_TABLE_LABELS = 15
_OPEN_STATES = (DeliveryState.PENDING, DeliveryState.SENDING)
_STUCK_STATES = (DeliveryState.PAUSED, DeliveryState.DEAD)


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a run, as `--json` prints it.

    Attributes:
        rejected: items of the input that were skipped.
        blank_rows: rows and lines of the input that were blank, and skipped; not counted as items.
        labels: the number of items by label.
        latency: seconds from an item's release to its end, median and 95th percentile.
        items_per_second: items that this run finished per second.
        seconds: duration of the run up to the last item, without the wait for callbacks.
        callbacks: the number of deliveries by state.
        callback_error: the last error of a callback that is not delivered.
        callback_waits: what a callback that is not delivered waits for.
        exports: the number of exports by state.
        output: the file of the results.
    """

    batch_id: str
    state: str
    total: int
    succeeded: int
    dead: int
    cancelled: int
    rejected: int
    blank_rows: int
    labels: Mapping[str, int]
    latency: Mapping[str, float] | None
    items_per_second: float
    seconds: float
    callbacks: Mapping[str, int]
    callback_error: str | None
    callback_waits: str | None
    exports: Mapping[str, int]
    output: str | None

    @property
    def exit_code(self) -> int:
        is_undelivered = self.undelivered(*_OPEN_STATES, *_STUCK_STATES) or set(self.exports) - {ExportState.COMPLETE}
        return 1 if self.dead or self.cancelled or is_undelivered else 0

    def undelivered(self, *states: DeliveryState) -> int:
        """Return the number of callbacks in these states."""
        return sum(self.callbacks.get(state, 0) for state in states)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def summarize(
    progress: Progress,
    *,
    rejected: int,
    blank_rows: int,
    labels: Mapping[str, int],
    latency: Mapping[str, float] | None,
    finished: int,
    seconds: float,
    callbacks: Mapping[str, int],
    callback_error: str | None,
    callback_waits: str | None,
    exports: Mapping[str, int],
    output: str | None,
) -> Summary:
    """Return the summary of a batch of which this run finished `finished` items in `seconds`."""
    return Summary(
        batch_id=progress.batch_id,
        state=progress.state.value,
        total=progress.total,
        succeeded=progress.succeeded,
        dead=progress.dead,
        cancelled=progress.cancelled,
        rejected=rejected,
        blank_rows=blank_rows,
        labels=labels,
        latency=latency,
        items_per_second=round(finished / max(seconds, 0.001), 1),
        seconds=round(seconds, 3),
        callbacks=callbacks,
        callback_error=callback_error,
        callback_waits=callback_waits,
        exports=exports,
        output=output,
    )


def print_summary(summary: Summary, messages: Messages) -> None:
    """Print the summary and hints for the next step to standard error; in quiet mode only the hints."""
    if not messages.is_quiet:
        _print_labels(summary)
        print_fields(_fields(summary), err=True)
    for hint in _hints(summary):
        messages.warn(hint)


def _print_labels(summary: Summary) -> None:
    if not summary.labels:
        return
    ranked = sorted(summary.labels.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [(label, count, f"{count / summary.total:.1%}") for label, count in ranked[:_TABLE_LABELS]]
    if len(ranked) > _TABLE_LABELS:
        others = ranked[_TABLE_LABELS:]
        rows.append((f"{len(others):,} more labels", sum(count for _, count in others), ""))
    print_table(["label", "items", "share"], rows, right={"items", "share"}, err=True)


def _fields(summary: Summary) -> dict[str, str]:
    rate, latency = summary.items_per_second, summary.latency
    return {
        "batch": summary.batch_id,
        "items": format_counts({name: getattr(summary, name) for name in ("succeeded", "dead", "cancelled")}),
        "skipped": f"{summary.rejected:,}" if summary.rejected else "",
        "blank rows": f"{summary.blank_rows:,}" if summary.blank_rows else "",
        "time": f"{format_duration(summary.seconds)}, {rate:,.0f} items/s" if rate else "",
        "latency": f"p50 {latency['p50_seconds']:.3f} s, p95 {latency['p95_seconds']:.3f} s" if latency else "",
        "callbacks": format_counts(summary.callbacks),
        "exports": format_counts(summary.exports),
        "results": summary.output or "",
    }


def _hints(summary: Summary) -> Iterator[str]:
    batch = summary.batch_id
    if summary.dead:
        yield (
            f"{pluralize(summary.dead, 'dead item')}: `pipeline dead list {batch}` shows the errors, "
            f"`pipeline dead replay {batch}` retries"
        )
    if summary.cancelled:
        yield (
            f"{pluralize(summary.cancelled, 'item')} cancelled with the batch; "
            f"`pipeline dead replay {batch} --state cancelled` runs them again"
        )
    pending = summary.undelivered(*_OPEN_STATES)
    if pending:
        yield (
            f"{pluralize(pending, 'callback')} not delivered yet{_reason(summary)}: `pipeline run --batch {batch}` "
            f"continues sending, `pipeline deliveries list --batch {batch} --state pending` lists them"
        )
    stuck = summary.undelivered(*_STUCK_STATES)
    if stuck:
        yield (
            f"{pluralize(stuck, 'callback')} dead or paused{_reason(summary)}: "
            f"`pipeline deliveries list --batch {batch}` shows why"
        )


def _reason(summary: Summary) -> str:
    error = f"last attempt: {summary.callback_error}" if summary.callback_error else None
    reasons = "; ".join(filter(None, (error, summary.callback_waits)))
    return f" ({reasons})" if reasons else ""
