"""Which batch may release how many items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

#: Items that a batch with nothing in flight may release although others fill the window.
FLOOR = 16

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
    """How many items may be in flight at once: enough for `TARGET_WAIT` at the measured rate, within bounds."""

    smallest: int
    largest: int

    def size(self, items_per_second: float) -> int:
        wanted = math.ceil(items_per_second * TARGET_WAIT.total_seconds())
        return max(self.smallest, min(self.largest, wanted))


def shares(demands: Sequence[Demand], window: int) -> dict[int, int]:
    """Return how many items each batch may release before any may take what others leave.

    The window is divided by weight (weighted max-min fairness); what a batch has in flight counts against its share,
    so that a batch of slow items keeps no more than its part. Batches with the least in flight come first.
    """
    weights = sum(demand.weight for demand in demands)
    first = sorted(demands, key=lambda demand: (demand.in_flight / demand.weight, demand.batch_id))
    return {
        demand.batch_id: max(
            math.ceil(window * demand.weight / weights) - demand.in_flight, 0 if demand.in_flight else FLOOR
        )
        for demand in first
    }
