"""How many requests may be in flight, and how free slots are shared between endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.delivery.rules.delivery import is_target


@dataclass(frozen=True, slots=True)
class Capacity:
    """The free capacity of a sender at one moment.

    Args:
        free: requests that may start now, over all endpoints.
        cap: maximum requests in flight at one endpoint, unless configured.
        reserve: free slots kept for endpoints with nothing in flight, one each.
        busy: requests in flight, by endpoint.
        limits: lower caps of overloaded endpoints, by endpoint.
        target_cap: maximum messages in flight at one message target, unless configured; None: `cap`.
    """

    free: int
    cap: int
    reserve: int = 0
    busy: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    target_cap: int | None = None

    @property
    def open(self) -> int:
        """Free slots that are not reserved."""
        return max(self.free - self.reserve, 0)

    def at(self, origin: str, configured: int | None = None) -> int:
        """Return how many more requests one endpoint may get.

        No endpoint may hold more slots than are open: the fewer are left, the fewer a busy endpoint gets (dynamic
        thresholds; Choudhury and Hahne, 1998). While any slot is free, one request is always possible.
        """
        default = default_cap(origin, self.cap, self.target_cap)
        cap = min(configured or default, self.limits.get(origin, default), max(self.open, 1))
        return max(min(cap - self.busy.get(origin, 0), self.free), 0)


def default_cap(origin: str, of_webhooks: int, of_targets: int | None) -> int:
    """Return how many requests may be in flight at one endpoint that has no cap configured."""
    return of_webhooks if of_targets is None or not is_target(origin) else of_targets


def halves(first: int, retries: int, count: int, *, first_goes_ahead: bool) -> tuple[int, int]:
    """Split `count` slots between waiting first attempts and retries.

    Each gets half, and the other gets what it does not need, so neither can starve the other. The odd slot goes to
    first attempts if `first_goes_ahead`; callers must alternate, because a busy endpoint frees one slot at a time.

    Returns:
        Slots for first attempts, slots for retries.
    """
    of_first = min(first, (count + first_goes_ahead) // 2)
    of_retries = min(retries, count - of_first)
    return min(first, count - of_retries), of_retries


def share(room: Capacity, waiting: Sequence[tuple[str, int | None]], most: int) -> dict[str, int]:
    """Return how many deliveries to claim for each endpoint.

    Endpoints with the fewest requests in flight come first, then in the given order. The open slots are cut into one
    part more than there are endpoints, so that an endpoint that comes next finds some.

    Args:
        waiting: endpoints as (origin, configured cap or None).
        most: upper bound of the sum.
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
