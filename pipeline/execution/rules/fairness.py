"""Fairness between batches: how many items each batch may release."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

#: Items that a batch with nothing in flight may release even if others fill the window.
FLOOR = 32

#: Maximum number of items of a batch in flight, as a multiple of its share.
SLACK = 1.5

#: Upper bound of the time that an item waits in the broker: what a small batch waits behind a big one. Long enough for
#: what workers claim between two rounds, see `workers.engine.dispatch_loop.ACTIVE_SECONDS`, and to spare.
TARGET_WAIT = timedelta(milliseconds=200)


@dataclass(frozen=True, slots=True)
class Demand:
    """A batch that has items to release.

    Args:
        weight: its weight, divided by the number of batches with the same fair key.
        in_flight: number of its items in flight.
    """

    batch_id: int
    weight: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class Window:
    """How many items may wait in the broker: those of `TARGET_WAIT` at the measured rate, within bounds."""

    smallest: int
    largest: int

    def size(self, items_per_second: float) -> int:
        wanted = math.ceil(items_per_second * TARGET_WAIT.total_seconds())
        return max(self.smallest, min(self.largest, wanted))


class Credits:
    """What each batch may release: free slots divided by weight; unused fractions carry over.

    Deficit round robin (Shreedhar and Varghese, 1995): over time, batches that always have more get slots in proportion
    to their weights, however small a round is.
    """

    def __init__(self) -> None:
        self._of_batch: dict[int, float] = {}

    def shares(self, demands: Sequence[Demand], *, free: int, window: int) -> dict[int, int]:
        """Return how many items each batch may release before unused slots are passed on.

        Batches with the fewest items in flight come first. A batch with nothing in flight gets a few regardless of its
        credit; a batch of slow items keeps at most `SLACK` times its share of `window` in flight.

        Args:
            free: slots to divide now.
            window: all slots, including those in flight.
        """
        weights = sum(demand.weight for demand in demands)
        first = sorted(demands, key=lambda demand: (demand.in_flight / demand.weight, demand.batch_id))
        # A batch without demand has no claim on later rounds.
        self._of_batch = {
            demand.batch_id: self._credit(demand, max(free, 0), window, demand.weight / weights) for demand in first
        }
        return {demand.batch_id: self._share(demand, window * demand.weight / weights) for demand in first}

    def spend(self, batch_id: int, released: int) -> None:
        """Deduct released items from a batch's credit."""
        self._of_batch[batch_id] = max(self._of_batch[batch_id] - released, -FLOOR)

    def _credit(self, demand: Demand, free: int, window: int, part: float) -> float:
        return min(self._of_batch.get(demand.batch_id, 0.0) + free * part, max(window * part, 1.0))

    def _share(self, demand: Demand, part: float) -> int:
        room = math.ceil(SLACK * part) - demand.in_flight
        share = max(min(math.floor(self._of_batch[demand.batch_id]), room), 0)
        return share if demand.in_flight else max(share, FLOOR)
