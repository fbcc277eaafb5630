"""Read how a batch went over time."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.batches.rules.history import Moment, latency_histogram, timeline
from pipeline.batches.sql import history
from pipeline.context import Context

#: Items that are looked at: reading more would take longer than somebody waits for a page.
SAMPLE = 20_000
#: Parts of the timeline.
PARTS = 60


@dataclass(frozen=True, slots=True)
class History:
    """How a batch went.

    Args:
        moments: parts of its life, or of its latest `SAMPLE` items'.
        latencies: number of items by the time from submission to the end, up to so many seconds.
        is_partial: whether there are more items than were looked at.
    """

    moments: list[Moment]
    latencies: list[tuple[float | None, int]]
    is_partial: bool


def history_of(context: Context, batch_id: int) -> History:
    """Return how the batch with this row id went."""
    with context.database.read() as connection:
        finished = history.find_finished(connection, batch_id, SAMPLE)
        latencies = history.find_latencies(connection, batch_id, SAMPLE)
    return History(timeline(finished, PARTS), latency_histogram(latencies), len(finished) >= SAMPLE)
