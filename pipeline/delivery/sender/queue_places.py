"""Places in memory for preclaimed requests: more than there are free slots, at endpoints that answer quickly."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pipeline.delivery.sender.response_times import ResponseTimes

#: Requests that may wait at a quick endpoint beyond its free slots: a quarter of a second's work.
PER_ENDPOINT = 768
#: Requests that may wait at all endpoints, and the bytes of their bodies.
TOTAL, TOTAL_BYTES = 1_536, 16 * 1024 * 1024
#: A transaction that has added to a longer queue waits until it is shorter: then the next group finds places.
LONG = 256
#: It waits no longer than this; if that was too short, nobody waits at the endpoint for ten times as long.
LONGEST_WAIT_SECONDS, REST_SECONDS = 0.05, 0.5


class QueuePlaces:
    """Counts preclaimed requests from their reservation until they get a slot. Usable from any thread.

    Args:
        longest_wait: seconds.
    """

    def __init__(self, times: ResponseTimes, longest_wait: float = LONGEST_WAIT_SECONDS) -> None:
        self._times = times
        self.longest_wait = longest_wait
        self._changed = threading.Condition()
        self._taken: Counter[str] = Counter()
        self._bytes = 0
        #: Until when nobody waits, by endpoint.
        self._resting: dict[str, float] = {}

    def reserve(
        self, waiting: Sequence[tuple[str, int | None]], slots: Mapping[str, int], wanted: Mapping[str, Sequence[int]]
    ) -> dict[str, int]:
        """Reserve places. Return how many, by endpoint.

        Args:
            waiting: endpoints as (origin, configured cap or None). Those with a cap get no more than the free slots.
            slots: free slots, by endpoint.
            wanted: the bytes of each request, by endpoint.
        """
        with self._changed:
            return {
                origin: self._reserve(origin, self._most(origin, cap, slots), wanted[origin]) for origin, cap in waiting
            }

    def leave(self, left: Mapping[str, int], size: int) -> None:
        """Free places, and `size` bytes of bodies in all."""
        with self._changed:
            self._bytes -= size
            for origin, count in left.items():
                self._taken[origin] -= count
                if self._taken[origin] == 0:
                    del self._taken[origin]
            self._changed.notify_all()

    def wait(self, origins: Iterable[str]) -> None:
        """Wait a moment for long queues at quick endpoints. Call it without a transaction and without a lock."""
        started = time.monotonic()
        end = started + self.longest_wait
        with self._changed:
            chosen = [origin for origin in origins if self._resting.get(origin, 0.0) <= started]
            while too_long := [origin for origin in chosen if self._is_long(origin)]:
                left = end - time.monotonic()
                if left <= 0:
                    self._rest(too_long, end)
                    return
                self._changed.wait(left)

    def _most(self, origin: str, cap: int | None, slots: Mapping[str, int]) -> int:
        beyond = PER_ENDPOINT if cap is None and self._times.is_quick(origin) else 0
        return min(slots.get(origin, 0) + beyond - self._taken[origin], TOTAL - self._taken.total())

    def _reserve(self, origin: str, most: int, sizes: Sequence[int]) -> int:
        count = 0
        for size in sizes[: max(most, 0)]:
            if self._bytes + size > TOTAL_BYTES:
                break
            self._bytes += size
            count += 1
        if count:
            self._taken[origin] += count
        return count

    def _is_long(self, origin: str) -> bool:
        return self._taken[origin] > LONG and self._times.is_quick(origin)

    def _rest(self, origins: Iterable[str], now: float) -> None:
        self._resting = {origin: until for origin, until in self._resting.items() if until > now}
        self._resting.update(dict.fromkeys(origins, now + REST_SECONDS))
