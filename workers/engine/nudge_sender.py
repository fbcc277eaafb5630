"""Nudges to processes elsewhere: there may be something to do. Few, since each of them looks by itself as well."""

from __future__ import annotations

import threading
import time

from pipeline.broker.messages import Broker
from workers.engine.periodic import guarded

#: No two nudges in less; what happens in between is found by the other side's own look.
SECONDS_BETWEEN = 1.0


class NudgeSender:
    """Publishes a task without arguments now and then, never from the caller's thread."""

    def __init__(self, broker: Broker, task: str) -> None:
        self._broker = broker
        self._task = task
        self._next_at = 0.0
        self._lock = threading.Lock()

    def give(self) -> None:
        """Nudge, unless that was done just now."""
        with self._lock:
            if time.monotonic() < self._next_at:
                return
            self._next_at = time.monotonic() + SECONDS_BETWEEN
        # A broker that hangs holds up this thread alone.
        threading.Thread(target=self._send, name="pipeline-nudge", daemon=True).start()

    def _send(self) -> None:
        guarded(lambda: self._broker.nudge(self._task))
