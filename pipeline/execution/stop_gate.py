"""The gate through which work is begun: a stop closes it, and waits for those who are in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopGate:
    """Lets threads in until it is closed, and knows of those that are inside."""

    def __init__(self) -> None:
        #: Set when nobody is let in any more; whoever is inside should not linger.
        self.closed = threading.Event()
        self._inside = 0
        self._lock = threading.Lock()

    @contextmanager
    def passing(self) -> Iterator[bool]:
        """Go through; False where it is closed."""
        # Counted before the look: who saw it open is seen by those who wait after closing it.
        with self._lock:
            self._inside += 1
        try:
            yield not self.closed.is_set()
        finally:
            with self._lock:
                self._inside -= 1

    def is_in_use(self) -> bool:
        """Return whether anybody is inside."""
        return self._inside > 0
