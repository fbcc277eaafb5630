"""How many requests may be in flight, and how free places are shared between endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a sender has left at one moment.

    Args:
        free: requests that may start now, over all endpoints.
        cap: requests in flight at one endpoint at the most, where nothing else is configured.
        reserve: of the free places, those that are for endpoints with nothing in flight, one each.
        busy: requests in flight, by endpoint.
        limits: lower bounds that overloaded endpoints have earned, by endpoint.
    """

    free: int
    cap: int
    reserve: int = 0
    busy: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """Free places that are nobody's in particular."""
        return max(self.free - self.reserve, 0)

    def at(self, origin: str, configured: int | None = None) -> int:
        """Return how many more requests one endpoint may get.

        No endpoint may hold more places than are open: the fewer are left, the less a busy one gets of them (dynamic
        thresholds; Choudhury and Hahne, 1998). One request is always possible while any place is free.
        """
        cap = min(configured or self.cap, self.limits.get(origin, self.cap), max(self.open, 1))
        return max(min(cap - self.busy.get(origin, 0), self.free), 0)


def halves(first: int, retries: int, count: int, *, first_goes_ahead: bool) -> tuple[int, int]:
    """Say how many of `count` places first attempts and retries get, where so many of each wait.

    Half of the places are for each, and what one does not need is the other's: neither can starve the other. An odd
    place is for who goes ahead; who that is must change, since one place at a time is the rule where all are taken.
    """
    of_first = min(first, (count + first_goes_ahead) // 2)
    of_retries = min(retries, count - of_first)
    return min(first, count - of_retries), of_retries


def share(room: Capacity, waiting: Sequence[tuple[str, int | None]], most: int) -> dict[str, int]:
    """Say how many deliveries to claim for each endpoint, given as (origin, its configured cap or None).

    Endpoints with the fewest requests in flight come first, then in the order given; `most` bounds the sum. The open
    places are cut into one part more than there are endpoints, so that who comes next finds some.
    """
    places = {origin: room.at(origin, configured) for origin, configured in waiting}
    served = sorted((origin for origin, count in places.items() if count), key=lambda origin: room.busy.get(origin, 0))
    left, open_ = min(room.free, most), min(room.open, most)
    shares: dict[str, int] = {}
    for position, origin in enumerate(served[:left]):
        part = -(-open_ // (len(served) - position + 1))
        count = min(places[origin], max(part, 1), left)
        if count == 0:
            break
        shares[origin] = count
        left -= count
        open_ = max(open_ - count, 0)
    return shares
