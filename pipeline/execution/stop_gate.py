"""A gate that threads pass to start work: stopping closes it and waits for the threads inside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopGate:
    """Admits threads until it is closed, and counts those inside."""

    def __init__(self) -> None:
        #: Set when no thread is admitted any more; threads inside should leave soon.
        self.closed = threading.Event()
        self._inside = 0
        self._lock = threading.Lock()

    @contextmanager
    def passing(self) -> Iterator[bool]:
        """Pass the gate; yields False if it is closed."""
        # Counted before the check: whoever waits after closing the gate sees every thread that found it open.
        with self._lock:
            self._inside += 1
        try:
            yield not self.closed.is_set()
        finally:
            with self._lock:
                self._inside -= 1

    def is_in_use(self) -> bool:
        """Return whether a thread is inside."""
        return self._inside > 0
