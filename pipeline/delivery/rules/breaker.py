"""The circuit breaker of an endpoint: when requests stop, and how the endpoint is probed.

Closed: requests are sent. Open: none are sent until `open_until`. Half open: exactly one request is sent, the probe;
its answer closes the breaker or opens it for longer. Answers to requests sent before the breaker opened are ignored.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

#: Consecutive failures that open the breaker.
FAILURES_IN_A_ROW = 5
#: It also opens if this share of at least this many attempts failed within the window, which starts at a failure.
WINDOW = timedelta(seconds=60)
WINDOW_ATTEMPTS = 20
WINDOW_FAILED = 0.5
#: How long it stays open. Doubled each time a probe fails, plus up to 20 % of jitter.
FIRST_OPEN = timedelta(seconds=30)
LONGEST_OPEN = timedelta(hours=1)
_JITTER = 0.2


class BreakerState(StrEnum):
    """Which requests an endpoint's breaker lets through."""

    #: All requests.
    CLOSED = "closed"
    #: No requests until `open_until`.
    OPEN = "open"
    #: One probe is in flight. If it is lost, another may be sent at `open_until`.
    HALF_OPEN = "half_open"


class BreakerVerdict(StrEnum):
    """What an answer says about the health of the endpoint."""

    #: It accepted the delivery.
    SUCCEEDED = "succeeded"
    #: It works, but did not accept this delivery.
    ANSWERED = "answered"
    #: It does not work.
    FAILED = "failed"
    #: Nothing: no request reached it.
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Breaker:
    """The breaker, as stored in the endpoint's row.

    Args:
        trips: number of times it opened since it was last closed.
        closed_at: when it closed; the backlog is released gradually from then on.
        window_started_at: the failure at which `window_attempts` and `window_failures` start counting.
    """

    state: BreakerState = BreakerState.CLOSED
    open_until: datetime | None = None
    trips: int = 0
    closed_at: datetime | None = None
    consecutive_failures: int = 0
    window_started_at: datetime | None = None
    window_attempts: int = 0
    window_failures: int = 0

    def observe(self, verdict: BreakerVerdict, at: datetime, *, is_probe: bool, rng: random.Random) -> Breaker:
        """Return the breaker after an answer that arrived at `at`."""
        if self.state is BreakerState.CLOSED:
            return self._counted(verdict, at, rng)
        if not is_probe or self.state is BreakerState.OPEN:
            return self
        if verdict is BreakerVerdict.FAILED:
            return replace(self, consecutive_failures=self.consecutive_failures + 1)._opened(at, rng)
        if verdict is BreakerVerdict.NOTHING:
            # The probe never reached the endpoint: send another at once.
            return replace(self, state=BreakerState.OPEN, open_until=at)
        return Breaker(closed_at=at)

    def _counted(self, verdict: BreakerVerdict, at: datetime, rng: random.Random) -> Breaker:
        current = self._in_window(at)
        if verdict is BreakerVerdict.SUCCEEDED:
            started = current.window_started_at is not None
            return replace(current, consecutive_failures=0, window_attempts=current.window_attempts + started)
        if verdict is not BreakerVerdict.FAILED:
            return current
        failed = replace(
            current,
            consecutive_failures=current.consecutive_failures + 1,
            window_started_at=current.window_started_at or at,
            window_attempts=current.window_attempts + 1,
            window_failures=current.window_failures + 1,
        )
        return failed._opened(at, rng) if failed._is_tripped() else failed

    def _in_window(self, at: datetime) -> Breaker:
        if self.window_started_at is None or at - self.window_started_at < WINDOW:
            return self
        return replace(self, window_started_at=None, window_attempts=0, window_failures=0)

    def _is_tripped(self) -> bool:
        most_failed = self.window_failures >= self.window_attempts * WINDOW_FAILED
        return self.consecutive_failures >= FAILURES_IN_A_ROW or (
            self.window_attempts >= WINDOW_ATTEMPTS and most_failed
        )

    def _opened(self, at: datetime, rng: random.Random) -> Breaker:
        return replace(
            self,
            state=BreakerState.OPEN,
            open_until=at + open_for(self.trips, rng),
            trips=self.trips + 1,
            closed_at=None,
            window_started_at=None,
            window_attempts=0,
            window_failures=0,
        )


def open_for(trips: int, rng: random.Random) -> timedelta:
    """Return how long the breaker stays open after it opened `trips` times before."""
    # The bound keeps the product finite; 2^10 already exceeds the maximum.
    base = min(FIRST_OPEN * (1 << min(trips, 10)), LONGEST_OPEN / (1 + _JITTER))
    return base * (1 + _JITTER * rng.random())


def ramp(closed_at: datetime | None, now: datetime) -> int | None:
    """Return how many requests may be in flight after the breaker closed: 1, doubled every second; None: no limit."""
    if closed_at is None:
        return None
    seconds = int(max((now - closed_at).total_seconds(), 0))
    # No cap is that large.
    return None if seconds > 20 else 2**seconds
