"""What a run came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.cli.show.output import Talk, duration, many, print_facts
from pipeline.cli.show.table import print_table
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.domain.batch import Progress

#: Labels in the table; all of them are in the JSON.
_LABELS = 15
#: Deliveries that are neither delivered nor cancelled.
_OWED = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.PAUSED, DeliveryState.DEAD)


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run, as `--json` prints it.

    Args:
        rejected: items of the input that were skipped.
        latency: seconds from an item's release to its end, median and 95th percentile.
        items_per_second: finished by this run.
        callbacks: deliveries by state.
        callback_error: what the last attempt at a callback came to that is still owed or was given up.
        callback_waits: what one that is still owed waits for.
        seconds: from the first release to the last item, without waiting for callbacks.
    """

    batch_id: str
    state: str
    total: int
    succeeded: int
    dead: int
    cancelled: int
    rejected: int
    labels: Mapping[str, int]
    latency: Mapping[str, float] | None
    items_per_second: float
    seconds: float
    callbacks: Mapping[str, int]
    callback_error: str | None
    callback_waits: str | None
    output: str | None

    @property
    def exit_code(self) -> int:
        return 1 if self.dead or self.cancelled or self.undelivered else 0

    @property
    def undelivered(self) -> int:
        return sum(self.callbacks.get(state, 0) for state in _OWED)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def summary(
    progress: Progress,
    *,
    rejected: int,
    labels: Mapping[str, int],
    latency: Mapping[str, float] | None,
    finished: int,
    seconds: float,
    callbacks: Mapping[str, int],
    callback_error: str | None,
    callback_waits: str | None,
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
        labels=labels,
        latency=latency,
        items_per_second=round(finished / max(seconds, 0.001), 1),
        seconds=round(seconds, 3),
        callbacks=callbacks,
        callback_error=callback_error,
        callback_waits=callback_waits,
        output=output,
    )


def print_summary(found: Summary, talk: Talk) -> None:
    """Tell a person, on standard error, what a run came to and what to do next; a quiet one only what is not good."""
    if not talk.is_quiet:
        _print_all(found)
    for hint in _hints(found):
        talk.warn(hint)


def _print_all(found: Summary) -> None:
    if found.labels:
        ranked = sorted(found.labels.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = [(label, count, f"{count / found.total:.1%}") for label, count in ranked[:_LABELS]]
        if len(ranked) > _LABELS:
            shown.append((f"{len(ranked) - _LABELS:,} more labels", sum(count for _, count in ranked[_LABELS:]), ""))
        print_table(["label", "items", "share"], shown, right={"items", "share"}, err=True)
    print_facts(_facts(found), err=True)


def _facts(found: Summary) -> dict[str, str]:
    latency = found.latency
    return {
        "batch": found.batch_id,
        "items": _counted({name: getattr(found, name) for name in ("succeeded", "dead", "cancelled")}),
        "skipped": f"{found.rejected:,}" if found.rejected else "",
        "time": f"{duration(found.seconds)}, {found.items_per_second:,.0f} items/s" if found.items_per_second else "",
        "latency": f"p50 {latency['p50_seconds']:.3f} s, p95 {latency['p95_seconds']:.3f} s" if latency else "",
        "callbacks": _counted(found.callbacks),
        "results": found.output or "",
    }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _hints(found: Summary) -> list[str]:
    batch = found.batch_id
    hints = []
    if found.dead:
        hints.append(
            f"{found.dead:,} dead: `pipeline dead list {batch}` says why, `pipeline dead replay {batch}` retries"
        )
    if found.cancelled:
        hints.append(f"{found.cancelled:,} cancelled with their batch; submit them again to have them done")
    owed = sum(found.callbacks.get(state, 0) for state in (DeliveryState.PENDING, DeliveryState.SENDING))
    if owed:
        hints.append(
            f"{many(owed, 'callback')} still owed{_why(found)}: `pipeline run --batch {batch}` goes on sending them, "
            f"`pipeline deliveries list --batch {batch} --state pending` lists them"
        )
    stuck = sum(found.callbacks.get(state, 0) for state in (DeliveryState.DEAD, DeliveryState.PAUSED))
    if stuck:
        said = f"{many(stuck, 'callback')} given up or paused{_why(found)}"
        hints.append(f"{said}: `pipeline deliveries list --batch {batch}` says why")
    return hints


def _why(found: Summary) -> str:
    error = f"the last attempt: {found.callback_error}" if found.callback_error else None
    said = "; ".join(filter(None, (error, found.callback_waits)))
    return f" ({said})" if said else ""
