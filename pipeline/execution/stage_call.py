"""One call of a stage, and the items that go on from it to the next stage in the same process."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from pipeline.database.row import Row
from pipeline.domain.item import WorkItem
from pipeline.execution.runner_cache import Work
from pipeline.telemetry.traceparent import TraceContext


class NextStage(Protocol):
    """The micro-batch that takes items through the stage after."""

    def take_on(self, work: Work, rows: Sequence[Row], items: Sequence[WorkItem]) -> None:
        """Run the stage on items that this process claimed at the stage before."""

    def begin(self, items: Collection[int]) -> None:
        """Note that items are stored at this stage, and not finished there."""

    def drop(self, items: Collection[int]) -> None:
        """Forget items that do not reach this stage here after all."""


class Continuation:
    """Items that were classified together, on their way into the next stage. Usable from any thread.

    Args:
        is_durable: whether the next stage begins only once the outcomes of this one are committed.
    """

    def __init__(
        self, next_stage: NextStage, work: Work, rows: Sequence[Row], items: Sequence[WorkItem], *, is_durable: bool
    ) -> None:
        self.next_stage = next_stage
        self.is_durable = is_durable
        self._work = work
        self._lock = threading.Lock()
        self._waiting = {row["id"]: (row, item) for row, item in zip(rows, items, strict=True)}

    def start(self) -> None:
        """Run the next stage on the items that wait for it."""
        taken = self._take()
        if taken:
            rows, items = zip(*taken.values(), strict=True)
            self.next_stage.take_on(self._work, rows, items)

    def drop(self, items: Collection[int] | None = None) -> None:
        """Leave out some of the items, or all; those that began the next stage before go on."""
        self.next_stage.drop(list(self._take(items)))

    def split(self, items: Collection[int]) -> Continuation:
        """Take these items out of this continuation, into one of their own."""
        taken = self._take(items).values()
        rows, found = [row for row, _ in taken], [item for _, item in taken]
        return Continuation(self.next_stage, self._work, rows, found, is_durable=self.is_durable)

    def _take(self, items: Collection[int] | None = None) -> dict[int, tuple[Row, WorkItem]]:
        with self._lock:
            chosen = list(self._waiting) if items is None else [id_ for id_ in items if id_ in self._waiting]
            return {id_: self._waiting.pop(id_) for id_ in chosen}


class StageCall:
    """One call of a stage: items of one batch.

    Args:
        rows: the rows of the items, by item id.
    """

    def __init__(self, rows: Mapping[str, Row], work: Work, started_at: datetime) -> None:
        self.rows = rows
        self.work = work
        self.started_at = started_at
        self.batch_id: int = next(iter(rows.values()))["batch_id"]
        #: The spans of its traced items. Filled before it begins, and only where traces are on.
        self.traced: dict[str, TraceContext] = {}
        self._left = len(rows)
        self._lock = threading.Lock()
        self._at_end: list[Continuation] | None = []

    def count_down(self, ended: int) -> bool:
        """Note that so many more items have their outcomes. Return whether they were the last ones."""
        with self._lock:
            self._left -= ended
            return self._left == 0

    def run_at_end(self, continuation: Continuation) -> bool:
        """Leave a continuation to the thread that makes the call; return False if that thread is done with it."""
        with self._lock:
            if self._at_end is None:
                return False
            self._at_end.append(continuation)
            return True

    def end(self) -> list[Continuation]:
        """Return what was left to the calling thread. From now on, nothing is."""
        with self._lock:
            found, self._at_end = self._at_end or [], None
            return found
