"""The spans of deliveries, in the traces of their items."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson
from sqlalchemy import select

from pipeline.database.engine import Database
from pipeline.database.tables import batches, items
from pipeline.delivery.rules.delivery import Answer, Sent, is_target
from pipeline.domain.ids import split_item_id
from pipeline.telemetry import tracing
from pipeline.telemetry.dropping_queue import DroppingQueue
from pipeline.telemetry.spans import ERROR_TYPE, HTTP_METHOD, HTTP_STATUS, SERVER_ADDRESS, FinishedSpan, SpanRole
from pipeline.telemetry.trace_ids import item_trace, part_span_id, sample_number
from pipeline.telemetry.traceparent import TraceContext, parse_traceparent


class _Attempt(NamedTuple):
    """An attempt at the event of one item."""

    item: str
    delivery: int
    number: int
    origin: str
    answer: Answer
    started_at: datetime
    ended_at: datetime


def _item_of(body: bytes) -> str | None:
    """Return the item that an event is about; None if it is about something else, such as an alert."""
    try:
        event = orjson.loads(body)
    except ValueError:
        return None
    data = event.get("data") if isinstance(event, dict) else None
    item = data.get("item_id") if isinstance(data, dict) else None
    return item if isinstance(item, str) else None


class DeliveryTraces:
    """Makes spans of attempts on its own thread.

    Args:
        rate: the share of items that is traced.
    """

    def __init__(self, database: Database, rate: float) -> None:
        self._database = database
        self._rate = rate
        self._queue = DroppingQueue(
            "pipeline-delivery-traces", tracing.MAX_WAITING, self._write, tracing.report_dropped
        )

    def sent(self, sent: Sent) -> None:
        """Note an attempt. Never waits."""
        owed = sent.owed
        # A bundle is about items of several traces.
        item = _item_of(owed.body) if owed.count == 1 else None
        if item is not None:
            answer = sent.answer
            attempt = _Attempt(item, owed.id, owed.attempt, owed.origin, answer, sent.started_at, sent.ended_at)
            self._queue.put([attempt])

    def close(self) -> None:
        """Write the spans that wait, as far as there is time."""
        self._queue.close(tracing.FLUSH_SECONDS)

    def _write(self, attempts: Sequence[_Attempt]) -> None:
        submissions = self._submissions({each.item.partition("-")[0] for each in attempts})
        made = []
        for each in attempts:
            submission = submissions.get(each.item.partition("-")[0])
            if (submission is not None and submission.is_sampled) or sample_number(each.item) < self._rate:
                made.append(self._span(each, submission))
        if made:
            tracing.put(made)

    def _submissions(self, public_ids: set[str]) -> dict[str, TraceContext]:
        query = select(batches.c.public_id, batches.c.traceparent).where(
            batches.c.public_id.in_(sorted(public_ids)), batches.c.traceparent.is_not(None)
        )
        with self._database.read() as connection:
            found = {public_id: parse_traceparent(text) for public_id, text in connection.execute(query)}
        return {public_id: context for public_id, context in found.items() if context is not None}

    def _replays(self, item: str) -> int:
        split = split_item_id(item)
        if split is None:
            return 0
        query = (
            select(items.c.replays)
            .join(batches, batches.c.id == items.c.batch_id)
            .where(batches.c.public_id == split[0], items.c.position == split[1])
        )
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def _span(self, attempt: _Attempt, submission: TraceContext | None) -> FinishedSpan:
        replays = self._replays(attempt.item)
        trace = item_trace(attempt.item, replays, submission, self._rate)
        host = urlsplit(attempt.origin).hostname or attempt.origin
        attributes: dict[str, str | int] = {SERVER_ADDRESS: host}
        if not is_target(attempt.origin):
            attributes[HTTP_METHOD] = "POST"
            if attempt.answer.status is not None:
                attributes[HTTP_STATUS] = attempt.answer.status
        code = attempt.answer.code
        return FinishedSpan(
            "deliver",
            trace.trace_id,
            part_span_id(attempt.item, replays, f"deliver {attempt.delivery} {attempt.number}"),
            trace.span_id,
            attempt.started_at,
            attempt.ended_at,
            role=SpanRole.CLIENT,
            attributes=attributes if code is None else {**attributes, ERROR_TYPE: code},
            has_failed=code is not None,
        )
