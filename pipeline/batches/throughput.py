"""Measure how fast a batch finishes items."""

from __future__ import annotations

from pipeline.batches.find import find_batch
from pipeline.batches.sql import throughput
from pipeline.context import Context

#: Latest items that the rate is measured over. It falls by itself while no item follows.
WINDOW_ITEMS = 500


def rate(context: Context, batch: str) -> float:
    """Return the items per second that the batch finished recently; 0 if it finished none."""
    with context.database.read() as connection:
        recent = throughput.count_recent(connection, find_batch(connection, batch)["id"], WINDOW_ITEMS)
    if recent is None:
        return 0.0
    count, since = recent
    return count / max((context.now() - since).total_seconds(), 0.001)
