"""Track gaps in contact with the database, in which nobody could renew a lease."""

from __future__ import annotations

from datetime import datetime, timedelta

#: Seconds within which living processes renew their leases once the database is back: one between attempts, five for an
#: attempt that hangs.
RENEWAL_SECONDS = 6.0


class DatabaseContact:
    """Knows when the database last answered, and since when it has answered without a gap.

    After a gap, items that run elsewhere are overdue but not lost, and no crash may be counted. A suspended process or
    a sleeping machine looks like a gap as well.

    Args:
        longest_gap: seconds without an answer that leases outlast.
    """

    def __init__(self, *, longest_gap: float, lease_seconds: float, now: datetime) -> None:
        self._longest_gap = timedelta(seconds=longest_gap)
        self._grace = timedelta(seconds=min(lease_seconds, RENEWAL_SECONDS))
        self._answered_at = now
        # No grace at the start: what a killed run left is rescued at once.
        self._back_at = now - self._grace

    def answered(self, now: datetime) -> None:
        """Note that the database answered at `now`."""
        if now - self._answered_at > self._longest_gap:
            self._back_at = now
        self._answered_at = now

    def grace(self, now: datetime) -> float:
        """Return the seconds during which a living holder may still renew an expired lease."""
        left = self._back_at + self._grace - now
        # A clock that was set back must not extend it.
        return max(0.0, min(left, self._grace).total_seconds())
