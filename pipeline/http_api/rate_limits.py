"""Rate limits: how many requests a key may send, and how often an address may fail to present one.

Both count by the monotonic clock, so that a clock that is set does not change them.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil, floor, isinf
from typing import NamedTuple

from pipeline.access.caller import Caller
from pipeline.http_api.problems import Problem

#: Requests that a key may send at once, in seconds of its rate.
BURST_SECONDS = 2.0
#: Failures in a minute from which on an address is no longer answered.
MAX_FAILURES = 10
_FAILURE_SECONDS = 60.0
#: Keys, and addresses, that are remembered.
_REMEMBERED = 10_000
_POLICY_SECONDS = 60
#: Of a token: times are sums of fractions of a second.
_ROUNDING = 1e-6


class Allowance(NamedTuple):
    """What a key may still send.

    Args:
        rate: requests per second, in the long run.
        left: requests that may be sent at once.
        full_in: seconds until the whole burst may be sent at once again.
        wait: seconds until the request that was refused may be sent; None: it was not refused.
    """

    rate: float
    left: int
    full_in: float
    wait: float | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers of draft-ietf-httpapi-ratelimit-headers-11."""
        seconds = max(_POLICY_SECONDS, ceil(1 / self.rate))
        return {
            "RateLimit-Policy": f'"key";q={max(1, round(self.rate * seconds))};w={seconds}',
            "RateLimit": f'"key";r={self.left};t={ceil(self.full_in)}',
        }


class RateLimits:
    """A token bucket for each key. Use it from one event loop.

    Args:
        processes: processes of this server among which the requests of a key are spread.
    """

    def __init__(self, *, processes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes, self._clock = processes, clock
        #: When the bucket of a key is full again: one number says how many tokens it holds.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: Caller) -> Allowance | None:
        """Count a request of a caller. Return what is left; None: there is no limit."""
        if caller.key_id is None or isinf(caller.rate):
            return None
        now, rate = self._clock(), caller.rate / self._processes
        burst = max(1.0, rate * BURST_SECONDS)
        full_at = max(now, self._full_at.pop(caller.key_id, now))
        taken = (full_at - now) * rate
        wait = None if taken + 1 <= burst + _ROUNDING else (taken + 1 - burst) / rate
        if wait is None:
            full_at, taken = full_at + 1 / rate, taken + 1
        self._full_at[caller.key_id] = full_at
        while len(self._full_at) > _REMEMBERED:
            self._full_at.popitem(last=False)
        return Allowance(rate, max(0, floor(burst - taken + _ROUNDING)), full_at - now, wait)


class FailedAttempts:
    """How often each address failed to present a key lately. Use it from one event loop.

    Args:
        limit: failures in a minute from which on an address is refused.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, limit: int = MAX_FAILURES) -> None:
        self._clock, self._limit = clock, limit
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def refuse_if_too_many(self, address: str | None) -> None:
        """Raise `Problem` (too_many_failures) if an address has failed too often.

        Args:
            address: what a local socket has instead of an IP address has no limit.
        """
        name = _group(address)
        found = None if name is None else self._failed.get(name)
        if found is None or len(found) < self._limit:
            return
        wait = found[0] + _FAILURE_SECONDS - self._clock()
        if wait > 0:
            raise Problem(
                "too_many_failures",
                f"{self._limit} requests from this address had no valid API key within a minute",
                headers={"Retry-After": str(ceil(wait))},
            )

    def note(self, address: str | None) -> None:
        """Count a failure of an address."""
        name = _group(address)
        if name is None:
            return
        found = self._failed.setdefault(name, deque(maxlen=self._limit))
        found.append(self._clock())
        self._failed.move_to_end(name)
        while len(self._failed) > _REMEMBERED:
            self._failed.popitem(last=False)


def _group(address: str | None) -> str | None:
    """Return what addresses are counted together by: one host has all of an IPv6 network of 64 bits."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
