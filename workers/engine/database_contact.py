"""Contact with the database: whether it has lasted long enough for a lease that is over to mean anything."""

from __future__ import annotations

from datetime import datetime, timedelta

#: Within this, the living renew their leases when the database is back: a second between two tries, five for one that
#: hangs.
RENEWAL_SECONDS = 6.0


class DatabaseContact:
    """Knows when the database answered, and how long it has done so without a gap.

    In a gap nobody could renew: what runs elsewhere is overdue, but not lost, and no crash is to be counted. The gap is
    one of this process as well, when it was suspended or its machine slept.
    """

    def __init__(self, *, longest_gap: float, lease_seconds: float, now: datetime) -> None:
        """`longest_gap`: seconds without an answer that leases outlast."""
        self._longest_gap = timedelta(seconds=longest_gap)
        self._grace = timedelta(seconds=min(lease_seconds, RENEWAL_SECONDS))
        self._answered_at = now
        # A start waits for nothing: what a killed run left is taken up at once.
        self._back_at = now - self._grace

    def answered(self, now: datetime) -> None:
        """Hear that the database has answered."""
        if now - self._answered_at > self._longest_gap:
            self._back_at = now
        self._answered_at = now

    def grace(self, now: datetime) -> float:
        """Return for how many seconds a lease that is over may still be renewed by a living holder."""
        left = self._back_at + self._grace - now
        # A clock that was set back does not make it longer.
        return max(0.0, min(left, self._grace).total_seconds())
