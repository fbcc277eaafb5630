"""Items per second lately, and what is left at that speed."""

from __future__ import annotations

import time
from collections import deque

#: Seconds looked back on.
_WINDOW = 10.0


class Speed:
    """Remembers the counts of the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, done: int) -> None:
        """Note how many items are done now."""
        now = time.monotonic()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        if len(self._seen) < 2:
            return 0.0
        (begin, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    def left(self, items: int) -> float | None:
        """Return the seconds that so many items will take; None where nothing moves."""
        speed = self.per_second
        return items / speed if speed > 0 else None
