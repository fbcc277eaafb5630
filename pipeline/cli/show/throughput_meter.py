"""Recent throughput of a batch, and the time that its remaining items will take."""

from __future__ import annotations

import time
from collections import deque

#: Seconds over which the throughput is averaged.
_WINDOW = 10.0


class ThroughputMeter:
    """Measures items per second over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, done: int) -> None:
        """Record how many items are done now."""
        now = time.monotonic()
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else 0.0

    def seconds_left(self, items: int) -> float | None:
        """Return the seconds that `items` more items will take at this rate; None if the rate is zero."""
        rate = self.per_second
        return items / rate if rate > 0 else None
