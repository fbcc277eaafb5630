"""Slots for requests in flight: a total, and a cap per endpoint that is lowered while the endpoint is overloaded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pipeline.delivery.rules.capacity import Capacity, share
from pipeline.delivery.rules.delivery import Answer

#: Share of the slots that is reserved for endpoints with nothing in flight.
RESERVED = 0.25


class InFlight:
    """Counts slots by endpoint, from claim or reservation to record. Usable from any thread.

    A transaction that finishes items may reserve slots, but not at an endpoint where older deliveries are known to wait
    for one (its backlog): they would be overtaken again and again. A backlog ends with the first claim that begins
    after it was noted and leaves nothing due there.
    """

    def __init__(self, total: int, per_endpoint: int) -> None:
        self._total = total
        self._cap = per_endpoint
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
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
            self._subtract(self._held)
            self._held.clear()
            self._busy.update(taken)
            if backlog is None:
                return
            self._backlog = {origin: noted for origin, noted in self._backlog.items() if noted >= self._claims}
            self._backlog.update(dict.fromkeys(backlog, self._claims))

    # --- reservations ---------------------------------------------------------------------------------------------

    def without_backlog(self, origins: Iterable[str]) -> list[str]:
        """Return the endpoints at which slots may be reserved."""
        with self._lock:
            return [] if self._is_full else [origin for origin in origins if origin not in self._backlog]

    def reserve(self, waiting: Sequence[tuple[str, int | None]], wanted: Mapping[str, int]) -> dict[str, int]:
        """Reserve slots under the rules of a claim. Return how many, by endpoint.

        Args:
            waiting: endpoints as (origin, configured cap or None).
            wanted: how many requests wait for a slot, by endpoint.
        """
        with self._lock:
            if self._is_full:
                return {}
            may = [(origin, cap) for origin, cap in waiting if origin not in self._backlog]
            shares = share(self._room(), may, self._total)
            granted = {origin: min(count, wanted[origin]) for origin, count in shares.items()}
            self._busy.update(granted)
            return granted

    def give_back(self, granted: Mapping[str, int]) -> None:
        """Free reserved slots that are not used."""
        with self._lock:
            self._subtract(granted)

    def note_backlog(self, origins: Iterable[str]) -> None:
        """Reserve nothing at these endpoints until a claim that begins after this has left nothing due there."""
        with self._lock:
            self._backlog.update(dict.fromkeys(origins, self._claims))

    # --- answers --------------------------------------------------------------------------------------------------

    def leave(self, origin: str, answer: Answer) -> None:
        """Free a slot. Halve the cap of an overloaded endpoint; raise it by about one per round while it recovers."""
        with self._lock:
            self._subtract({origin: 1})
            limit = self._limits.get(origin)
            if answer.is_overload:
                self._limits[origin] = max((self._cap if limit is None else limit) / 2, 1.0)
            elif answer.is_success and limit is not None:
                self._raise(origin, limit + 1 / limit)

    def _room(self) -> Capacity:
        return Capacity(
            free=self._total - self._busy.total(),
            cap=self._cap,
            reserve=int(self._total * RESERVED),
            busy=dict(self._busy),
            limits={origin: int(limit) for origin, limit in self._limits.items()},
        )

    def _subtract(self, counts: Mapping[str, int]) -> None:
        for origin, count in counts.items():
            self._busy[origin] -= count
            if self._busy[origin] == 0:
                del self._busy[origin]

    def _raise(self, origin: str, limit: float) -> None:
        if limit >= self._cap:
            del self._limits[origin]
        else:
            self._limits[origin] = limit
