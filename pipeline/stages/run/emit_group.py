"""Emits the finished items of a run in groups."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

from pipeline.domain.item import WorkItem
from pipeline.domain.outcome import Outcome

#: Receives finished items with their outcomes, in groups.
Emit = Callable[[list[tuple[WorkItem, Outcome]]], None]


class EmitGroup:
    """Calls `emit` from one thread at a time; items that finish meanwhile form the next group."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._finished: deque[tuple[WorkItem, Outcome]] = deque()
        self._emitting = Lock()

    def add(self, finished: list[tuple[WorkItem, Outcome]]) -> None:
        """Emit the items now, or leave them to the thread that is already emitting."""
        self._finished.extend(finished)
        # Checked again after the release: another thread may have added items just before it and found the lock held.
        while self._finished and self._emitting.acquire(blocking=False):
            try:
                group = self._take_group()
                if group:
                    self._emit(group)
            finally:
                self._emitting.release()

    def _take_group(self) -> list[tuple[WorkItem, Outcome]]:
        # Only the holder of the lock removes items, so at least as many as are counted here can be taken.
        return [self._finished.popleft() for _ in range(len(self._finished))]
