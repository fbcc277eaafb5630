"""Batches: their states, their progress, and when one is finished."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BatchState(StrEnum):
    """Where a batch is. `accepting → running ⇄ paused → completed | cancelled`."""

    #: Its items are being written; nothing is released before the last one is there.
    ACCEPTING = "accepting"
    #: Its items are released as the window allows.
    RUNNING = "running"
    #: Nothing more is released; what was released before is finished.
    PAUSED = "paused"
    #: Every item is final. Final, unless dead items are replayed.
    COMPLETED = "completed"
    #: No item is released any more; those not begun become cancelled. Final.
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is. `waiting` items are pending, `in_flight` ones released, `running` those of them claimed."""

    batch_id: str
    definition: str
    state: BatchState
    total: int
    succeeded: int
    dead: int
    cancelled: int
    in_flight: int
    running: int
    created_at: datetime
    completed_at: datetime | None

    @property
    def final(self) -> int:
        return self.succeeded + self.dead + self.cancelled

    @property
    def waiting(self) -> int:
        return max(0, self.total - self.final - self.in_flight)

    @property
    def is_complete(self) -> bool:
        return self.state is not BatchState.ACCEPTING and self.final >= self.total
