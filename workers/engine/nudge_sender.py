"""Tell processes elsewhere that there may be work: rarely, because each of them also polls."""

from __future__ import annotations

import threading
import time

from pipeline.broker.publisher import TaskPublisher
from workers.engine.periodic import guarded

#: Minimum seconds between two nudges; the other side's polling finds what happens in between.
SECONDS_BETWEEN = 1.0


class NudgeSender:
    """Publishes a task without arguments, at a limited rate, never from the caller's thread."""

    def __init__(self, broker: TaskPublisher, task: str) -> None:
        self._broker = broker
        self._task = task
        self._next_at = 0.0
        self._lock = threading.Lock()

    def give(self) -> None:
        """Publish a nudge, unless one was published a moment ago."""
        with self._lock:
            if time.monotonic() < self._next_at:
                return
            self._next_at = time.monotonic() + SECONDS_BETWEEN
        # A broker that hangs blocks only this thread.
        threading.Thread(target=self._send, name="pipeline-nudge", daemon=True).start()

    def _send(self) -> None:
        guarded(lambda: self._broker.nudge(self._task))
