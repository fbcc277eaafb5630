"""The spans of items, written after the fact: from what was recorded, and from the times that are stored anyway."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select

from pipeline.context import Context
from pipeline.database.row import Row, rows
from pipeline.database.tables import items
from pipeline.domain.ids import item_id
from pipeline.domain.item import Enrichment, Stage
from pipeline.domain.outcome import Failure
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.record import Done
from pipeline.execution.stage_call import StageCall
from pipeline.telemetry import current_span, tracing
from pipeline.telemetry.dropping_queue import DroppingQueue
from pipeline.telemetry.spans import (
    ERROR_TYPE,
    MESSAGING_COUNT,
    MESSAGING_DESTINATION,
    MESSAGING_SYSTEM,
    FinishedSpan,
    SpanRole,
)
from pipeline.telemetry.trace_ids import ItemTrace, attempt_span_id, call_context, item_trace, part_span_id
from pipeline.telemetry.traceparent import TraceContext

#: Items that take longer are traced even if they are not in the sample.
SLOW = timedelta(seconds=60)
#: Items outside of the sample that are traced in a second, because they are dead or slow.
MAX_UNSAMPLED = 10
#: Links of one span: as many as OpenTelemetry's SDK keeps.
MAX_LINKS = 128
_FINAL = (DispositionKind.SUCCEEDED, DispositionKind.DEAD)
_UNRECORDED = (DispositionKind.STALE, DispositionKind.LOST)


class _Attempt(NamedTuple):
    """A recorded attempt, without what may be large."""

    done: Done
    item: str
    trace: ItemTrace
    kind: DispositionKind


class ItemTraces:
    """Makes spans on its own thread, and has them sent. Make it after any fork.

    Args:
        rate: the share of items that is traced.
    """

    def __init__(self, context: Context, rate: float) -> None:
        self._context = context
        self._rate = rate
        self._system = context.settings.transport.value
        self._second, self._in_second = 0, 0
        self._queue = DroppingQueue("pipeline-item-traces", tracing.MAX_WAITING, self._write, tracing.report_dropped)

    def close(self) -> None:
        """Write the spans that wait, as far as there is time."""
        self._queue.close(tracing.FLUSH_SECONDS)

    # --- on the threads that do the work -------------------------------------------------------------------------

    def begin(self, call: StageCall, stage: Stage) -> None:
        """Note that a call begins: the code of its traced items may ask for their spans."""
        work = call.work
        for item, row in call.rows.items():
            trace = item_trace(item, row["replays"], work.submission, self._rate)
            if trace.is_sampled:
                span_id = attempt_span_id(item, row["replays"], stage.value, row["epoch"])
                call.traced[item] = TraceContext(trace.trace_id, span_id, is_sampled=True)
        current_span.begin(call.traced)

    def end(self, call: StageCall, stage: Stage, ended: Sequence[str], ended_at: datetime) -> None:
        """Note that items of a call have their outcomes. The call's span ends with the last of them."""
        for item in ended:
            if item in call.traced:
                current_span.end(item, call.traced[item])
        if call.count_down(len(ended)) and call.traced:
            tracing.put([self._call_span(call, stage, ended_at)])

    def recorded(self, done: Sequence[Done], dispositions: Mapping[int, Disposition]) -> None:
        """Note outcomes after their commit."""
        attempts = []
        for each, kind in _attempts(done, dispositions):
            item = item_id(each.batch, each.row["position"])
            trace = item_trace(item, each.row["replays"], each.submission, self._rate)
            if trace.is_sampled or (kind in _FINAL and self._is_notable(each, kind) and self._has_room()):
                attempts.append(_Attempt(_slim(each), item, trace, kind))
        if attempts:
            self._queue.put(attempts)

    def _is_notable(self, done: Done, kind: DispositionKind) -> bool:
        is_slow = done.submitted_at is not None and done.ended_at - done.submitted_at > SLOW
        return kind is DispositionKind.DEAD or is_slow

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second <= MAX_UNSAMPLED

    def _call_span(self, call: StageCall, stage: Stage, ended_at: datetime) -> FinishedSpan:
        context = call_context(self._context.worker, call.work.public_id, stage.value, call.started_at)
        links = list(call.traced.values())[:MAX_LINKS]
        attributes: dict[str, str | int] = {MESSAGING_COUNT: len(call.rows), MESSAGING_SYSTEM: self._system}
        return FinishedSpan(
            f"process {stage.value}",
            context.trace_id,
            context.span_id,
            None,
            call.started_at,
            ended_at,
            role=SpanRole.CONSUMER,
            attributes=attributes | {MESSAGING_DESTINATION: stage.value},
            links=links,
        )

    # --- on the thread of traces ---------------------------------------------------------------------------------

    def _write(self, attempts: Sequence[_Attempt]) -> None:
        stored = self._read({each.done.row["id"] for each in attempts})
        made: list[FinishedSpan] = []
        for each in attempts:
            row = stored.get(each.done.row["id"])
            made.append(self._attempt_span(each))
            # An item that was replayed or pruned since then has lost its times.
            if row is not None and row["replays"] == each.done.row["replays"]:
                made += self._spans_around(each, row)
        tracing.put(made)

    def _read(self, ids: set[int]) -> dict[int, Row]:
        names = ("id", "replays", "attempts", "created_at", "queued_at", "started_at", "classified_at", "due_at")
        query = select(*(items.c[name] for name in names)).where(items.c.id.in_(sorted(ids)))
        with self._context.database.read() as connection:
            return {row["id"]: row for row in rows(connection.execute(query))}

    def _attempt_span(self, attempt: _Attempt) -> FinishedSpan:
        done, trace = attempt.done, attempt.trace
        stage, replays = done.stage.value, done.row["replays"]
        attributes: dict[str, str | int] = {"pipeline.attempt": done.row["attempt"]}
        if isinstance(done.outcome, Failure):
            attributes[ERROR_TYPE] = done.outcome.type
        call = call_context(self._context.worker, done.batch, stage, done.started_at)
        return FinishedSpan(
            stage,
            trace.trace_id,
            attempt_span_id(attempt.item, replays, stage, done.row["epoch"]),
            trace.span_id,
            done.started_at,
            done.ended_at,
            attributes=attributes,
            links=[call] if trace.is_sampled else (),
            has_failed=isinstance(done.outcome, Failure),
        )

    def _spans_around(self, attempt: _Attempt, row: Row) -> Iterator[FinishedSpan]:
        done = attempt.done
        is_first = row["replays"] == 0
        if done.stage is Stage.ENRICH and done.row["attempt"] == 1 and row["classified_at"] is not None and is_first:
            yield from self._queue_span(attempt, Stage.ENRICH, row["classified_at"], done.started_at)
        if attempt.kind not in _FINAL:
            return
        if is_first and row["queued_at"] is not None:
            yield self._part(attempt, "wait", row["created_at"], row["queued_at"])
            if row["started_at"] is not None:
                yield from self._queue_span(attempt, Stage.CLASSIFY, row["queued_at"], row["started_at"])
        if not attempt.trace.is_sampled and done.stage is Stage.ENRICH and done.before is None and is_first:
            # The attempt at the stage before was not worth a span when it was recorded.
            yield self._part(attempt, Stage.CLASSIFY.value, row["started_at"], row["classified_at"])
        start = row["created_at"] if is_first else min(row["due_at"] or done.started_at, done.started_at)
        yield self._item_span(attempt, row, start)

    def _queue_span(self, attempt: _Attempt, stage: Stage, start: datetime, end: datetime) -> Iterator[FinishedSpan]:
        if end > start:
            attributes: dict[str, str | int] = {MESSAGING_SYSTEM: self._system, MESSAGING_DESTINATION: stage.value}
            yield self._part(attempt, f"queue {stage.value}", start, end, attributes)

    def _part(
        self,
        attempt: _Attempt,
        name: str,
        start: datetime,
        end: datetime,
        attributes: Mapping[str, str | int] | None = None,
    ) -> FinishedSpan:
        trace = attempt.trace
        span_id = part_span_id(attempt.item, attempt.done.row["replays"], name)
        return FinishedSpan(name, trace.trace_id, span_id, trace.span_id, start, end, attributes=attributes or {})

    def _item_span(self, attempt: _Attempt, row: Row, start: datetime) -> FinishedSpan:
        done, trace = attempt.done, attempt.trace
        attributes: dict[str, str | int] = {
            "pipeline.item.id": attempt.item,
            "pipeline.state": attempt.kind.value,
            "pipeline.attempts": row["attempts"],
        }
        if isinstance(done.outcome, Failure):
            attributes[ERROR_TYPE] = done.outcome.type
        return FinishedSpan(
            f"item {done.definition.name}",
            trace.trace_id,
            trace.span_id,
            trace.parent_id,
            start,
            done.ended_at,
            attributes=attributes,
            links=[] if trace.link is None else [trace.link],
            has_failed=attempt.kind is DispositionKind.DEAD,
        )


def open_item_traces(context: Context) -> ItemTraces | None:
    """Return what traces items in this process; None if it sends no traces.

    Raises:
        InvalidSettings: see `tracing.is_tracing`.
    """
    return ItemTraces(context, context.settings.trace_items) if tracing.is_tracing() else None


def _attempts(done: Sequence[Done], dispositions: Mapping[int, Disposition]) -> Iterator[tuple[Done, DispositionKind]]:
    """Yield each recorded attempt, the stage before first."""
    for each in done:
        kind = dispositions[each.row["id"]].kind
        if kind not in _UNRECORDED:
            if each.before is not None:
                yield each.before, DispositionKind.ADVANCED
            yield each, kind


#: In place of a result.
_NOTHING = Enrichment({})


def _slim(done: Done) -> Done:
    """Return an outcome without payload and result, which may be large."""
    row = {name: done.row[name] for name in ("id", "position", "epoch", "attempt", "replays")}
    before = None if done.before is None else _slim(done.before)
    outcome = done.outcome if isinstance(done.outcome, Failure) else _NOTHING
    return done._replace(row=row, before=before, outcome=outcome, enrichment=None)
