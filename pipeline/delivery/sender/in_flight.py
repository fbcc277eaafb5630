"""Slots for requests in flight: a total, and a cap per endpoint that is lowered while the endpoint is overloaded."""

from __future__ import annotations

from collections import Counter

from pipeline.delivery.rules.capacity import Capacity
from pipeline.delivery.rules.delivery import Answer

#: Share of the slots that is reserved for endpoints with nothing in flight.
RESERVED = 0.25


class InFlight:
    """Counts slots by endpoint, from claim to record. Used only on the sender's event loop."""

    def __init__(self, total: int, per_endpoint: int) -> None:
        self._total = total
        self._cap = per_endpoint
        self._busy: Counter[str] = Counter()
        # Only endpoints that were overloaded and have not recovered.
        self._limits: dict[str, float] = {}

    def room(self) -> Capacity:
        """Return the free capacity now, as a value that another thread may use."""
        return Capacity(
            free=self._total - self._busy.total(),
            cap=self._cap,
            reserve=int(self._total * RESERVED),
            busy=dict(self._busy),
            limits={origin: int(limit) for origin, limit in self._limits.items()},
        )

    def enter(self, origin: str) -> None:
        self._busy[origin] += 1

    def leave(self, origin: str, answer: Answer) -> None:
        """Free a slot. Halve the cap of an overloaded endpoint; raise it by about one per round while it recovers."""
        self._busy[origin] -= 1
        if self._busy[origin] == 0:
            del self._busy[origin]
        limit = self._limits.get(origin)
        if answer.is_overload:
            self._limits[origin] = max((self._cap if limit is None else limit) / 2, 1.0)
        elif answer.is_success and limit is not None:
            self._raise(origin, limit + 1 / limit)

    def _raise(self, origin: str, limit: float) -> None:
        if limit >= self._cap:
            del self._limits[origin]
        else:
            self._limits[origin] = limit
