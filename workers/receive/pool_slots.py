"""The slots of a pool: one for each micro-batch that it may run at once."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Slots:
    """Counts the micro-batches in a pool. While all slots are taken, waiting micro-batches keep gathering messages."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def on_free(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a slot is given back and one is free."""
        self._listeners.append(listener)

    @property
    def are_free(self) -> bool:
        return self._taken < self._limit

    def take(self) -> Slot:
        """Take a slot, even if none is free: a full micro-batch waits in the pool instead."""
        with self._lock:
            self._taken += 1
        return Slot(self)

    def give_back(self) -> None:
        """Free one slot. Use `Slot.give_back`, which does so once."""
        with self._lock:
            self._taken -= 1
        for listener in self._listeners:
            if self.are_free:
                listener()


class Slot:
    """One micro-batch's place in the pool."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._is_back = threading.Lock()

    def give_back(self) -> None:
        """Free the slot. Calling it again does nothing."""
        if self._is_back.acquire(blocking=False):
            self._slots.give_back()
