"""Slots for requests in flight: a total, and a cap per endpoint that is lowered while the endpoint is overloaded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pipeline.delivery.rules.capacity import Capacity, default_cap, share
from pipeline.delivery.rules.delivery import Answer, Owed

#: Share of the slots that is reserved for endpoints with nothing in flight.
RESERVED = 0.25


class InFlight:
    """Counts slots by endpoint, from claim or start to record. Usable from any thread.

    An endpoint has a backlog while older deliveries are known to wait for a slot there. It ends with the first claim
    that begins after it was noted and leaves nothing due. Until then, preclaimed requests get half of the endpoint's
    slots: neither they nor claims can starve the other.
    """

    def __init__(self, total: int, per_endpoint: int, per_target: int | None = None) -> None:
        self._total = total
        self._cap = per_endpoint
        self._target_cap = per_target
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        #: Those of `_busy` that preclaimed requests have.
        self._ahead: Counter[str] = Counter()
        # Only endpoints that were overloaded and have not recovered.
        self._limits: dict[str, float] = {}
        self._held: Counter[str] = Counter()
        self._claims = 0
        #: By endpoint, the number of claims that had begun when the backlog was noted.
        self._backlog: dict[str, int] = {}
        self._is_full = False

    def room(self) -> Capacity:
        """Return the free capacity now, as a value that another thread may use."""
        with self._lock:
            return self._room()

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    # --- claims, one at a time ------------------------------------------------------------------------------------

    def begin_claim(self) -> Capacity:
        """Return the free capacity for a claim. While there is none, no slot is reserved: claims come first."""
        with self._lock:
            self._claims += 1
            room = self._room()
            self._is_full = room.free == 0
            return room

    def hold(self, waiting: Sequence[tuple[str, int | None]], most: int) -> dict[str, int]:
        """Share the free slots between endpoints as `capacity.share` does, and hold them until the claim ends."""
        with self._lock:
            shares = share(self._room(), waiting, most)
            self._held.update(shares)
            self._busy.update(shares)
            return shares

    def end_claim(self, taken: Iterable[str] = (), backlog: Iterable[str] | None = None) -> None:
        """Keep a slot for each request that was taken, and free the others that the claim held.

        Args:
            taken: the endpoints of the requests.
            backlog: endpoints with deliveries that are due and were not taken; None: the claim failed.
        """
        with self._lock:
            _subtract(self._busy, self._held)
            self._held.clear()
            self._busy.update(taken)
            if backlog is None:
                return
            self._backlog = {origin: noted for origin, noted in self._backlog.items() if noted >= self._claims}
            self._backlog.update(dict.fromkeys(backlog, self._claims))

    # --- preclaimed requests --------------------------------------------------------------------------------------

    def without_backlog(self, origins: Iterable[str]) -> list[str]:
        """Return the endpoints whose free slots preclaimed requests may count on."""
        with self._lock:
            return [] if self._is_full else [origin for origin in origins if origin not in self._backlog]

    def free_slots(self, waiting: Sequence[tuple[str, int | None]]) -> dict[str, int]:
        """Return the free slots that preclaimed requests may count on, under the rules of a claim, by endpoint.

        Args:
            waiting: endpoints as (origin, configured cap or None).
        """
        with self._lock:
            if self._is_full:
                return {}
            may = [(origin, cap) for origin, cap in waiting if origin not in self._backlog]
            return share(self._room(), may, self._total)

    def start(self, origin: str, configured: int | None, most: int) -> int:
        """Take up to `most` slots for preclaimed requests, half of an endpoint's if it has a backlog. Return how many.

        Args:
            configured: the endpoint's cap; None: the default.
        """
        with self._lock:
            if self._is_full:
                return 0
            room = self._room()
            free = room.at(origin, configured)
            if origin in self._backlog:
                free = min(free, (free + self._busy[origin]) // 2 - self._ahead[origin])
            count = max(min(free, most), 0)
            if count:
                self._busy[origin] += count
                self._ahead[origin] += count
            return count

    def note_backlog(self, origins: Iterable[str]) -> None:
        """Leave half of the slots of these endpoints to claims, until one that begins after this leaves nothing due."""
        with self._lock:
            self._backlog.update(dict.fromkeys(origins, self._claims))

    # --- answers --------------------------------------------------------------------------------------------------

    def leave(self, owed: Owed, answer: Answer) -> None:
        """Free a slot. Halve the cap of an overloaded endpoint; raise it by about one per round while it recovers."""
        with self._lock:
            origin = owed.origin
            _subtract(self._busy, {origin: 1})
            if owed.is_preclaimed:
                _subtract(self._ahead, {origin: 1})
            limit = self._limits.get(origin)
            if answer.is_overload:
                self._limits[origin] = max((self._default_cap(origin) if limit is None else limit) / 2, 1.0)
            elif answer.is_success and limit is not None:
                self._raise(origin, limit + 1 / limit)

    def _room(self) -> Capacity:
        return Capacity(
            free=self._total - self._busy.total(),
            cap=self._cap,
            reserve=int(self._total * RESERVED),
            busy=dict(self._busy),
            limits={origin: int(limit) for origin, limit in self._limits.items()},
            target_cap=self._target_cap,
        )

    def _default_cap(self, origin: str) -> int:
        return default_cap(origin, self._cap, self._target_cap)

    def _raise(self, origin: str, limit: float) -> None:
        if limit >= self._default_cap(origin):
            del self._limits[origin]
        else:
            self._limits[origin] = limit


def _subtract(from_: Counter[str], counts: Mapping[str, int]) -> None:
    for origin, count in counts.items():
        from_[origin] -= count
        if from_[origin] == 0:
            del from_[origin]
