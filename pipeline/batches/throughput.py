"""Measure how fast a batch finishes items, and notice that it finishes none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.batches.find import find_batch
from pipeline.batches.sql import throughput
from pipeline.context import Context

#: Latest items that the rate is measured over. It falls by itself while no item follows.
WINDOW_ITEMS = 500


@dataclass(frozen=True, slots=True)
class Throughput:
    """How fast a batch finishes items.

    Args:
        items_per_second: measured over the latest items; 0 while the batch stands still.
        stands_still_since: when an item should have followed the last one, if none has for a lease.
    """

    items_per_second: float
    stands_still_since: datetime | None


def measure(context: Context, batch: str) -> Throughput:
    """Return how fast a running batch finishes items."""
    now = context.now()
    with context.database.read() as connection:
        batch_row = find_batch(connection, batch)["id"]
        recent = throughput.find_recent(connection, batch_row, WINDOW_ITEMS)
        work_since = throughput.find_work_since(connection, batch_row, now)
    since = max((at for at in (work_since, recent and recent.last_at) if at is not None), default=now)
    if work_since is not None and now - since > context.lease:
        return Throughput(0.0, since)
    rate = recent.number / max((now - recent.first_at).total_seconds(), 0.001) if recent else 0.0
    return Throughput(rate, None)
