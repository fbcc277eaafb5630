"""How many requests may be in flight, and how free places are shared between endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Room:
    """What a sender has left at one moment.

    Args:
        free: requests that may start now, over all endpoints.
        cap: requests in flight at one endpoint at the most, where nothing else is configured.
        busy: requests in flight, by endpoint.
        limits: lower bounds that overloaded endpoints have earned, by endpoint.
    """

    free: int
    cap: int
    busy: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    def at(self, origin: str, configured: int | None = None) -> int:
        """Return how many more requests one endpoint may get.

        No endpoint may hold more places than are free. So some are always left, however many endpoints hang: n of them
        together keep at most n of n + 1 parts (dynamic thresholds; Choudhury and Hahne, 1998).
        """
        cap = min(configured or self.cap, self.limits.get(origin, self.cap), self.free)
        return max(cap - self.busy.get(origin, 0), 0)


def share(room: Room, waiting: Sequence[tuple[str, int | None]], most: int) -> dict[str, int]:
    """Say how many deliveries to claim for each endpoint, given as (origin, its configured cap or None).

    Endpoints with the fewest requests in flight come first, then in the order given; `most` bounds the sum. One part
    more than there are endpoints is made, so that a newcomer finds a place.
    """
    places = {origin: room.at(origin, configured) for origin, configured in waiting}
    open_ = sorted((origin for origin, count in places.items() if count), key=lambda origin: room.busy.get(origin, 0))
    left = min(room.free, most)
    shares: dict[str, int] = {}
    for position, origin in enumerate(open_):
        count = min(places[origin], -(-left // (len(open_) - position + 1)))
        if count == 0:
            break
        shares[origin] = count
        left -= count
    return shares
