"""How many worker processes a queue wants: enough for what runs, and to get through what is due in a few minutes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

#: Seconds within which what is due should be done.
DRAIN_SECONDS = 300.0
#: What is due this soon counts as due: a worker takes as long to start.
SOON_SECONDS = 60.0
#: How long an item takes at a stage before anything was measured.
UNMEASURED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WantedWorkers:
    """How many processes are wanted, and why."""

    wanted: int
    reason: str


def wanted_workers(in_flight: int, due: int, *, capacity: int, attempt_seconds: float | None) -> WantedWorkers:
    """Return how many worker processes a stage wants.

    Args:
        in_flight: items that are released to the stage or run there.
        due: items that wait for it and are due, or will be within `SOON_SECONDS`; none of paused batches.
        capacity: items that one process runs at once.
        attempt_seconds: how long an item took there lately; None: nothing was measured.
    """
    if not in_flight and not due:
        return WantedWorkers(0, "nothing is in flight, due or due within 60 s")
    seconds = UNMEASURED_SECONDS if attempt_seconds is None else attempt_seconds
    for_flight = ceil(in_flight / capacity)
    for_due = ceil(due * seconds / capacity / DRAIN_SECONDS)
    reason = (
        f"{in_flight} in flight, {due} due, {capacity} at once in a process, {seconds:.3g} s an item"
        f"{' (not measured yet)' if attempt_seconds is None else ''}; to be done within {DRAIN_SECONDS:g} s"
    )
    return WantedWorkers(max(for_flight, for_due, 1), reason)
