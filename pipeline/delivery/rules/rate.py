"""A rate limit stored as one instant: the time up to which started requests are paid for (GCRA, ITU-T I.371)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Without a configured burst, a rate allows this many seconds' worth of requests at once.
DEFAULT_BURST_SECONDS = 0.1
#: A sender wakes up for at least this much worth of requests, unless the burst is smaller.
COARSENESS = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate limit.

    Args:
        per_second: requests per second.
        burst: requests at once after a pause.
    """

    per_second: float
    burst: int

    @classmethod
    def of(cls, per_second: float | None, burst: int | None) -> Rate | None:
        """Return the rate limit in an endpoint's row; None if it has none."""
        if per_second is None:
            return None
        return cls(per_second, burst or max(int(per_second * DEFAULT_BURST_SECONDS), 1))

    def free(self, paid_until: datetime | None, now: datetime) -> int:
        """Return how many requests may start now."""
        ahead = max((paid_until - now).total_seconds(), 0.0) if paid_until is not None else 0.0
        # Tolerance of a microsecond, the precision of stored instants, so that rounding never costs a request.
        return max(int(self.burst - ahead * self.per_second + 1e-6 * max(self.per_second, 1)), 0)

    def charge(self, paid_until: datetime | None, now: datetime, requests: int) -> datetime:
        """Return the time up to which requests are paid for after `requests` more."""
        start = now if paid_until is None else max(paid_until, now)
        return start + timedelta(seconds=requests / self.per_second)

    def next_at(self, paid_until: datetime | None, now: datetime) -> datetime:
        """Return when to look again; now if a request may start now."""
        if paid_until is None or self.free(paid_until, now):
            return now
        full = paid_until - timedelta(seconds=self.burst / self.per_second)
        one = full + timedelta(seconds=1 / self.per_second)
        return max(one, min(now + COARSENESS, paid_until))
