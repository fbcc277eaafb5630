"""Finished items on their way out of a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

from pipeline.domain.item import WorkItem
from pipeline.domain.outcome import Outcome

#: Receives items with their outcomes, in groups as they finish.
Emit = Callable[[list[tuple[WorkItem, Outcome]]], None]


class EmitGroup:
    """Calls `emit` by one thread at a time; what finishes meanwhile leaves together as the next group."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._finished: deque[tuple[WorkItem, Outcome]] = deque()
        self._emitting = Lock()

    def add(self, finished: list[tuple[WorkItem, Outcome]]) -> None:
        """Emit the items now, or leave them to the thread that is emitting."""
        self._finished.extend(finished)
        # Looked at again after the release: another thread may have added, and found the lock taken, just before it.
        while self._finished and self._emitting.acquire(blocking=False):
            try:
                group = self._take()
                if group:
                    self._emit(group)
            finally:
                self._emitting.release()

    def _take(self) -> list[tuple[WorkItem, Outcome]]:
        # Only the holder of the lock removes, so what is counted here is there.
        return [self._finished.popleft() for _ in range(len(self._finished))]
