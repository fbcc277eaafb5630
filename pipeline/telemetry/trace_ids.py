"""Ids of traces and spans, computed from what every process knows, so that nothing has to carry them."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import NamedTuple

from pipeline.telemetry.traceparent import TraceContext

_WHOLE = 2.0**64


class ItemTrace(NamedTuple):
    """Where the spans of an item belong.

    Args:
        span_id: of the item's own span, the parent of the others.
        parent_id: the span of the submission, if the item's is a child of it.
        link: the submission, if it is another trace.
    """

    trace_id: int
    span_id: int
    parent_id: int | None
    link: TraceContext | None
    is_sampled: bool


def sample_number(item_id: str) -> float:
    """Return a number from 0 up to 1 that is the same for an item in every process, and evenly spread over items.

    An item is in a sample of a share of all items if its number is below that share. Its replays are as well.
    """
    return int.from_bytes(_digest(item_id, "0")[:8], "big") / _WHOLE


def item_trace(item_id: str, replays: int, submission: TraceContext | None, rate: float) -> ItemTrace:
    """Return the trace of an item.

    Args:
        replays: how often it was replayed: each time begins another trace.
        submission: the stored context of its batch. If that is sampled, the item belongs to the same trace; otherwise
            it is linked.
        rate: the share of items that is traced.
    """
    digest = _digest(item_id, str(replays))
    span_id = _number(digest[16:24])
    if submission is not None and submission.is_sampled:
        return ItemTrace(submission.trace_id, span_id, submission.span_id, None, is_sampled=True)
    is_sampled = sample_number(item_id) < rate
    return ItemTrace(_number(digest[:16]), span_id, None, submission, is_sampled)


def attempt_span_id(item_id: str, replays: int, stage: str, epoch: int) -> int:
    """Return the id of the span of an attempt: an item is released under a new epoch for each."""
    return _number(_digest(item_id, str(replays), stage, str(epoch))[:8])


def part_span_id(item_id: str, replays: int, part: str) -> int:
    """Return the id of another span of an item, such as `wait`."""
    return _number(_digest(item_id, str(replays), part)[:8])


def batch_context(batch_id: str, *, is_sampled: bool) -> TraceContext:
    """Return the context of the submission of a batch that has no caller."""
    digest = _digest(batch_id, "submit")
    return TraceContext(_number(digest[:16]), _number(digest[16:24]), is_sampled)


def call_context(worker: str, batch_id: str, stage: str, started_at: datetime) -> TraceContext:
    """Return the context of a call of a stage, which handles many items."""
    digest = _digest(worker, batch_id, stage, started_at.isoformat())
    return TraceContext(_number(digest[:16]), _number(digest[16:24]), is_sampled=True)


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _number(digest: bytes) -> int:
    # Zero is no id.
    return int.from_bytes(digest, "big") or 1
