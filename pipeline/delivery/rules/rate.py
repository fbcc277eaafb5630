"""A limit of requests a second as one instant: until when what was let start is paid for (GCRA, ITU-T I.371)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Without a burst of its own, a rate may spend so many seconds' worth at once.
DEFAULT_BURST_SECONDS = 0.1
#: A sender is not woken for less than this is worth, unless the burst is less.
COARSENESS = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a second, and so many at once after a pause."""

    per_second: float
    burst: int

    @classmethod
    def of(cls, per_second: float | None, burst: int | None) -> Rate | None:
        """Return the rate that an endpoint's row says; None where it has none."""
        if per_second is None:
            return None
        return cls(per_second, burst or max(int(per_second * DEFAULT_BURST_SECONDS), 1))

    def free(self, paid_until: datetime | None, now: datetime) -> int:
        """Return how many requests may start now."""
        ahead = max((paid_until - now).total_seconds(), 0.0) if paid_until is not None else 0.0
        # A millionth of a request: instants are stored to the microsecond, and must not lose one by it.
        return max(int(self.burst - ahead * self.per_second + 1e-6 * max(self.per_second, 1)), 0)

    def charge(self, paid_until: datetime | None, now: datetime, requests: int) -> datetime:
        """Return until when is paid for after `requests` more."""
        start = now if paid_until is None else max(paid_until, now)
        return start + timedelta(seconds=requests / self.per_second)

    def next_at(self, paid_until: datetime | None, now: datetime) -> datetime:
        """Return when it is worth to start requests again: now, where one may start now."""
        if paid_until is None or self.free(paid_until, now):
            return now
        full = paid_until - timedelta(seconds=self.burst / self.per_second)
        one = full + timedelta(seconds=1 / self.per_second)
        return max(one, min(now + COARSENESS, paid_until))
