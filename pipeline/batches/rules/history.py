"""What became of a batch over time: how many items finished when, and how long each took."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: Upper ends of the classes of a histogram of latencies, in seconds; the last class has none.
LATENCY_CLASSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)
#: Seconds of a part of a timeline, at least.
SHORTEST_PART = 0.5


@dataclass(frozen=True, slots=True)
class Moment:
    """A part of a batch's life, and the items that finished in it."""

    starts_at: datetime
    seconds: float
    succeeded: int
    failed: int

    @property
    def per_second(self) -> float:
        """Items finished per second, failed ones included."""
        return (self.succeeded + self.failed) / self.seconds


def timeline(finished: Sequence[tuple[datetime, bool]], most: int) -> list[Moment]:
    """Return the life of a batch in equal parts, oldest first; empty if nothing finished.

    Args:
        finished: when each item finished, and whether it succeeded; in any order.
        most: number of parts, at most: results are recorded in groups, so that shorter parts would show those.
    """
    if not finished:
        return []
    first, last = min(at for at, _ in finished), max(at for at, _ in finished)
    # At least a second: a batch that finished at once has no rate.
    life = max((last - first).total_seconds(), 1.0)
    parts = min(most, int(life / SHORTEST_PART))
    seconds = life / parts
    counts = [[0, 0] for _ in range(parts)]
    for at, has_succeeded in finished:
        part = min(int((at - first).total_seconds() / seconds), parts - 1)
        counts[part][not has_succeeded] += 1
    return [
        Moment(first + timedelta(seconds=seconds * part), seconds, succeeded, failed)
        for part, (succeeded, failed) in enumerate(counts)
    ]


def latency_histogram(latencies: Sequence[float]) -> list[tuple[float | None, int]]:
    """Return the number of latencies in each class, by its upper end in seconds; None: longer than all.

    Classes below the first and above the last one that occurs are left out.
    """
    counts = [0] * (len(LATENCY_CLASSES) + 1)
    for seconds in latencies:
        counts[bisect_left(LATENCY_CLASSES, seconds)] += 1
    used = [index for index, number in enumerate(counts) if number]
    ends: list[float | None] = [*LATENCY_CLASSES, None]
    return [(ends[index], counts[index]) for index in range(used[0], used[-1] + 1)] if used else []
