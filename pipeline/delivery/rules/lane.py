"""Lanes: deliveries to an ordered endpoint, sent one at a time in the order of their ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Head:
    """The first unfinished delivery of a lane.

    Args:
        is_busy: whether a delivery of the lane is being sent: this one, or a later one that was first until this one
            was replayed.
        failed_at: when it first failed; None if it has not.
    """

    id: int
    lane: str
    origin: str
    is_busy: bool
    due_at: datetime
    failed_at: datetime | None = None

    def is_passed_over(self, max_block: timedelta | None, now: datetime) -> bool:
        """Return whether it waits for a retry and has blocked the lane for as long as it may."""
        if self.is_busy or self.due_at <= now or self.failed_at is None or max_block is None:
            return False
        return self.failed_at + max_block <= now

    def moves_at(self, max_block: timedelta | None) -> datetime | None:
        """Return when the lane continues, with this delivery or without it; None while the lane is busy."""
        if self.is_busy:
            return None
        if self.failed_at is None or max_block is None:
            return self.due_at
        return min(self.due_at, self.failed_at + max_block)
