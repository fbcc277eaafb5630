"""One call of a stage, and the items that go on from it to the next stage in the same process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from pipeline.database.row import Row
from pipeline.domain.item import WorkItem
from pipeline.execution.runner_cache import Work


class Continuation:
    """Items that were classified together, on their way into the next stage.

    Args:
        take_on: runs the next stage on items, given their rows and the items as that stage sees them.
        drop: called with the ids of items that do not go on here after all.
        is_durable: whether the next stage begins only once the outcomes of this one are committed.
    """

    def __init__(
        self,
        take_on: Callable[[Sequence[Row], Sequence[WorkItem]], None],
        drop: Callable[[Collection[int]], None],
        rows: Sequence[Row],
        items: Sequence[WorkItem],
        *,
        is_durable: bool,
    ) -> None:
        self._take_on = take_on
        self._drop = drop
        self._waiting = {row["id"]: (row, item) for row, item in zip(rows, items, strict=True)}
        self.is_durable = is_durable

    def start(self) -> None:
        """Run the next stage on the items that were not dropped."""
        waiting, self._waiting = self._waiting, {}
        if waiting:
            self._take_on([row for row, _ in waiting.values()], [item for _, item in waiting.values()])

    def drop(self, items: Collection[int] | None = None) -> None:
        """Leave out some of the items, or all."""
        dropped = list(self._waiting) if items is None else list(items)
        for id_ in dropped:
            del self._waiting[id_]
        self._drop(dropped)

    def split(self, items: Collection[int]) -> Continuation:
        """Take these items out of this continuation, into one of their own."""
        chosen = [self._waiting.pop(id_) for id_ in items]
        rows, found = [row for row, _ in chosen], [item for _, item in chosen]
        return Continuation(self._take_on, self._drop, rows, found, is_durable=self.is_durable)


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
        self._lock = threading.Lock()
        self._at_end: list[Continuation] | None = []

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
