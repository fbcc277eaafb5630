"""When an intake stops taking messages."""

from __future__ import annotations

from collections import deque


class Backpressure:
    """Holds while too many items wait, until half of them are done."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.is_held = False

    def update(self, pending: int) -> bool:
        """Return whether nothing may be taken, with so many items waiting."""
        self.is_held = pending > self._most // 2 if self.is_held else pending >= self._most
        return self.is_held


class RejectRate:
    """Counts refusals among the last messages.

    Args:
        most: the share of them that may be refused.
    """

    WINDOW = 1_000

    def __init__(self, most: float) -> None:
        self._most = most
        self._last: deque[bool] = deque(maxlen=self.WINDOW)
        self.rejected = 0

    def add(self, is_rejected: bool) -> None:
        """Count one message."""
        if len(self._last) == self.WINDOW:
            self.rejected -= self._last[0]
        self._last.append(is_rejected)
        self.rejected += is_rejected

    @property
    def is_exceeded(self) -> bool:
        """Whether too many are refused; never before there are enough messages to tell."""
        return len(self._last) == self.WINDOW and self.rejected > self._most * self.WINDOW
