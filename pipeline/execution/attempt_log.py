"""The lines about attempts at items, made from what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.context import Context
from pipeline.domain.cause import find_cause
from pipeline.domain.event import format_timestamp
from pipeline.domain.ids import item_id
from pipeline.domain.item import ItemState
from pipeline.domain.outcome import Failure, FailureKind
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.record import Done
from pipeline.telemetry.item_log import ItemLog
from pipeline.telemetry.log_items import LogItems, parse_log_items
from pipeline.telemetry.trace_ids import attempt_span_id, item_trace
from pipeline.telemetry.tracing import is_tracing

#: Seconds that writing the last lines may take at a stop.
CLOSE_SECONDS = 1.0
TEXT_FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"

_STATES = {
    DispositionKind.ADVANCED: ItemState.QUEUED,
    DispositionKind.HELD: ItemState.PENDING,
    DispositionKind.PUT_OFF: ItemState.PENDING,
    DispositionKind.SUCCEEDED: ItemState.SUCCEEDED,
    DispositionKind.DEAD: ItemState.DEAD,
}


class AttemptLog:
    """Logs recorded attempts. Make it after any fork.

    Args:
        has_keys: whether lines have the items' keys.
        trace_rate: the share of items that is traced; None: this process sends no traces.
    """

    def __init__(
        self, lines: ItemLog, chosen: LogItems, worker: str, *, has_keys: bool, trace_rate: float | None = None
    ) -> None:
        self._trace_rate = trace_rate
        self._lines = lines
        self._chosen = chosen
        self._worker = worker
        self._has_keys = has_keys

    def recorded(self, done: Sequence[Done], dispositions: Mapping[int, Disposition]) -> None:
        """Log outcomes after their commit."""
        attempts = [
            self._fields(each, item, kind)
            for each, kind in _attempts(done, dispositions)
            if self._chosen.takes(
                item := item_id(each.batch, each.row["position"]), is_dead=kind is DispositionKind.DEAD
            )
        ]
        if attempts:
            self._lines.put(attempts)

    def close(self) -> None:
        """Write the lines that wait, as far as somebody reads them."""
        self._lines.close(CLOSE_SECONDS)

    def _fields(self, done: Done, item: str, kind: DispositionKind) -> dict[str, Any]:
        row, state = done.row, _STATES.get(kind)
        fields = {
            "batch": done.batch,
            "item": item,
            "definition": done.definition.name,
            "stage": done.stage.value,
            "attempt": row["attempt"],
            "outcome": _outcome(done, kind),
            "started_at": format_timestamp(done.started_at),
            "ended_at": format_timestamp(done.ended_at),
            "duration_ms": _milliseconds(done.started_at, done.ended_at),
            "worker": self._worker,
        }
        if state is not None:
            fields["state"] = (ItemState.RUNNING if done.continues and state is ItemState.QUEUED else state).value
        if self._has_keys and row["key"] is not None:
            fields["key"] = row["key"]
        if self._trace_rate is not None:
            fields |= _trace_fields(done, item, self._trace_rate)
        if isinstance(done.outcome, Failure):
            failure = done.outcome
            fields |= {
                "error_kind": failure.kind.value,
                "error_type": failure.type,
                "cause": find_cause(done.stage.value, failure.kind.value, failure.type, failure.message).id,
            }
        return fields


def _trace_fields(done: Done, item: str, rate: float) -> dict[str, str]:
    row = done.row
    trace = item_trace(item, row["replays"], done.submission, rate)
    if not trace.is_sampled:
        return {}
    span_id = attempt_span_id(item, row["replays"], done.stage.value, row["epoch"])
    return {"trace_id": f"{trace.trace_id:032x}", "span_id": f"{span_id:016x}"}


def open_attempt_log(context: Context) -> AttemptLog | None:
    """Return what logs attempts in this process; None if `PIPELINE_LOG_ITEMS` is `off`."""
    settings = context.settings
    chosen = parse_log_items(settings.log_items)
    if chosen.is_off:
        return None
    return AttemptLog(
        ItemLog(settings.log_format, TEXT_FORMAT),
        chosen,
        context.worker,
        has_keys=settings.log_keys,
        trace_rate=settings.trace_items if is_tracing() else None,
    )


def _attempts(done: Sequence[Done], dispositions: Mapping[int, Disposition]) -> Iterator[tuple[Done, DispositionKind]]:
    """Yield each attempt with what became of it: the stage before first, if it was recorded together with the next."""
    for each in done:
        kind = dispositions[each.row["id"]].kind
        if each.before is not None:
            is_lost = kind in (DispositionKind.STALE, DispositionKind.LOST)
            yield each.before, kind if is_lost else DispositionKind.ADVANCED
        yield each, kind


def _outcome(done: Done, kind: DispositionKind) -> str:
    match kind:
        case DispositionKind.STALE | DispositionKind.LOST | DispositionKind.DEAD:
            return kind.value
        case DispositionKind.PUT_OFF:
            is_counted = not (isinstance(done.outcome, Failure) and done.outcome.kind is FailureKind.THROTTLED)
            return "retry" if is_counted else "snoozed"
        case _:
            return "succeeded"


def _milliseconds(start: datetime, end: datetime) -> float:
    # A clock that is set back makes no negative duration.
    return round(max((end - start).total_seconds(), 0.0) * 1000, 3)
