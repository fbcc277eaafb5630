"""A gate that transactions pass to begin. A fork closes it, so that none is open meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ForkGate:
    """Counts the open transactions of each thread, and holds up new ones while the process forks."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._open: dict[int, int] = {}
        self._is_closed = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Hold a transaction open. A thread that has one open may open others even while the gate is closed."""
        thread = threading.get_ident()
        with self._changed:
            while self._is_closed and thread not in self._open:
                self._changed.wait()
            self._open[thread] = self._open.get(thread, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._open[thread] -= 1
                if not self._open[thread]:
                    del self._open[thread]
                if self._is_closed:
                    self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Let no transaction begin until `reopen`, and wait for those that are open.

        Returns:
            Whether none is open: False if this thread has one, or another thread's takes longer.
        """
        with self._changed:
            self._is_closed = True
            if threading.get_ident() in self._open:
                return False
            return self._changed.wait_for(lambda: not self._open, seconds)

    def forget(self) -> None:
        """Forget the transactions of the parent, in a child, where another thread's lock is never released."""
        self._changed = threading.Condition(threading.Lock())
        self._is_closed = False

    def reopen(self) -> None:
        """Let transactions begin again."""
        with self._changed:
            self._is_closed = False
            self._changed.notify_all()
