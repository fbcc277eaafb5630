"""Lanes: deliveries to an ordered endpoint, of which one travels at a time, in the order of their ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Head:
    """The first delivery of a lane that has not come to its end.

    Args:
        is_busy: one of its lane is being sent: itself, or one behind it that was first until it was replayed.
        failed_at: when it failed first; None where it has not.
    """

    id: int
    lane: str
    origin: str
    is_busy: bool
    due_at: datetime
    failed_at: datetime | None = None

    def is_passed_over(self, max_block: timedelta | None, now: datetime) -> bool:
        """Say whether it failed, waits for its retry, and has held up the next for as long as it may."""
        if self.is_busy or self.due_at <= now or self.failed_at is None or max_block is None:
            return False
        return self.failed_at + max_block <= now

    def moves_at(self, max_block: timedelta | None) -> datetime | None:
        """Return when its lane goes on: with it, or without; None while the lane is busy."""
        if self.is_busy:
            return None
        if self.failed_at is None or max_block is None:
            return self.due_at
        return min(self.due_at, self.failed_at + max_block)
