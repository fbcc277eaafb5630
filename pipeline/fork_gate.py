"""A gate for calls that a fork must not interrupt, such as transactions: it closes, and waits for those inside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: How long a fork waits. Our calls take milliseconds; a user's transaction may take any time.
FORK_SECONDS = 5.0


class ForkGate:
    """Counts the calls of each thread, and holds up new ones while the process forks."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside: dict[int, int] = {}
        self._is_closed = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside. A thread that is inside may pass again although the gate is closed."""
        thread = threading.get_ident()
        with self._changed:
            while self._is_closed and thread not in self._inside:
                self._changed.wait()
            self._inside[thread] = self._inside.get(thread, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[thread] -= 1
                if not self._inside[thread]:
                    del self._inside[thread]
                if self._is_closed:
                    self._changed.notify_all()

    def close(self, seconds: float = FORK_SECONDS) -> bool:
        """Let no call begin until `reopen`, and wait for those inside.

        Returns:
            Whether none is inside: False if this thread is, or another thread's takes longer.
        """
        with self._changed:
            self._is_closed = True
            if threading.get_ident() in self._inside:
                return False
            return self._changed.wait_for(lambda: not self._inside, seconds)

    def forget(self) -> None:
        """Forget the calls of the parent, in a child, where another thread's lock is never released."""
        self._changed = threading.Condition(threading.Lock())
        self._is_closed = False

    def reopen(self) -> None:
        """Let calls begin again."""
        with self._changed:
            self._is_closed = False
            self._changed.notify_all()
