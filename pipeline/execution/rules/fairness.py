"""Which batch may release how many items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

#: Items that a batch with nothing in flight may release although others fill the window.
FLOOR = 16

#: What a batch may have in flight, as a multiple of its part.
SLACK = 1.5

#: Waiting in the broker is kept under this.
TARGET_WAIT = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class Demand:
    """A batch that wants to release items; `weight` is its part, divided among the batches of its fair key."""

    batch_id: int
    weight: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class Window:
    """How many items may wait in the broker: enough for `TARGET_WAIT` at the measured rate, within bounds."""

    smallest: int
    largest: int

    def size(self, items_per_second: float) -> int:
        wanted = math.ceil(items_per_second * TARGET_WAIT.total_seconds())
        return max(self.smallest, min(self.largest, wanted))


class Credits:
    """What each batch may release: free places divided by weight, with what it could not use carried over.

    Deficit round robin (Shreedhar and Varghese, 1995): over time, batches that always want more get places in the
    proportion of their weights, however small a round is.
    """

    def __init__(self) -> None:
        self._of_batch: dict[int, float] = {}

    def shares(self, demands: Sequence[Demand], *, free: int, window: int) -> dict[int, int]:
        """Return how many items each batch may release before any may take what others leave.

        Batches with the least in flight come first. One that has nothing in flight gets a few, whatever its credit;
        one of slow items keeps no more than `SLACK` times its part of `window` in flight.

        Args:
            free: places to be divided now.
            window: places there are in all, those in flight among them.
        """
        weights = sum(demand.weight for demand in demands)
        first = sorted(demands, key=lambda demand: (demand.in_flight / demand.weight, demand.batch_id))
        # Who wants nothing has no claim on later rounds.
        self._of_batch = {
            demand.batch_id: self._credit(demand, max(free, 0), window, demand.weight / weights) for demand in first
        }
        return {demand.batch_id: self._share(demand, window * demand.weight / weights) for demand in first}

    def spend(self, batch_id: int, released: int) -> None:
        """Take from a batch's credit what it has released of its share."""
        self._of_batch[batch_id] = max(self._of_batch[batch_id] - released, -FLOOR)

    def _credit(self, demand: Demand, free: int, window: int, part: float) -> float:
        return min(self._of_batch.get(demand.batch_id, 0.0) + free * part, max(window * part, 1.0))

    def _share(self, demand: Demand, part: float) -> int:
        room = math.ceil(SLACK * part) - demand.in_flight
        share = max(min(math.floor(self._of_batch[demand.batch_id]), room), 0)
        return share if demand.in_flight else max(share, FLOOR)
