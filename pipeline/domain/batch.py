"""Batches: their states and their progress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BatchState(StrEnum):
    """The state of a batch: `accepting | open → running ⇄ paused → completed | cancelled`."""

    #: Its items are being written. None is released until all are stored.
    ACCEPTING = "accepting"
    #: An intake still adds items to it. Those it has are released as in `running`; it cannot complete.
    OPEN = "open"
    #: Its items are released as the window allows.
    RUNNING = "running"
    #: No more items are released; those already released run to completion.
    PAUSED = "paused"
    #: Every item is final. This state is final too, unless dead items are replayed.
    COMPLETED = "completed"
    #: No more items are released; those not started become cancelled. Final, unless a user replays items.
    CANCELLED = "cancelled"

    @property
    def releases_items(self) -> bool:
        """Whether items of such a batch are released."""
        return self in (BatchState.OPEN, BatchState.RUNNING)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far along a batch is: items are `waiting` (pending), `in_flight` (released), or final.

    `running` counts the items in flight that a worker has claimed.
    """

    batch_id: str
    definition: str
    state: BatchState
    total: int
    succeeded: int
    dead: int
    cancelled: int
    in_flight: int
    running: int
    #: `seq` of the newest event; 0: there is none yet.
    last_seq: int
    created_at: datetime
    completed_at: datetime | None
    #: Who or what paused it: `manual`, or `guard:NAME`; None: it is not paused.
    paused_by: str | None = None

    @property
    def final(self) -> int:
        """The number of items that are succeeded, dead or cancelled."""
        return self.succeeded + self.dead + self.cancelled

    @property
    def waiting(self) -> int:
        """The number of items that are not released yet."""
        return max(0, self.total - self.final - self.in_flight)

    @property
    def is_complete(self) -> bool:
        """Whether every item is final."""
        may_grow = self.state in (BatchState.ACCEPTING, BatchState.OPEN)
        return not may_grow and self.final >= self.total
