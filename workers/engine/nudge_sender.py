"""Tell processes elsewhere that there may be work: at once when little happens, rarely under load, since they poll."""

from __future__ import annotations

import threading

from pipeline.broker.publisher import TaskPublisher
from workers.engine.periodic import guarded

#: Seconds between two nudges: so many, and for each item that the first of them was about, so many more. From 250 items
#: a second on, the other side finds work whenever it looks, and is nudged as rarely as possible.
LEAST_SECONDS, SECONDS_PER_ITEM, MOST_SECONDS = 0.02, 0.004, 1.0


def pause_after(items: int) -> float:
    """Return how many seconds after a nudge the next one may follow.

    Args:
        items: what the nudge was about.
    """
    return min(LEAST_SECONDS + items * SECONDS_PER_ITEM, MOST_SECONDS)


class NudgeSender:
    """Publishes a task without arguments, at a limited rate, never from the caller's thread.

    What happens during a pause is told at its end, so that nobody has to wait for the other side's poll.
    """

    def __init__(self, broker: TaskPublisher, task: str) -> None:
        self._broker = broker
        self._task = task
        self._items = 0
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopped = threading.Event()
        # A broker that hangs blocks only this thread.
        self._thread = threading.Thread(target=self._run, name="pipeline-nudges", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def give(self, items: int = 1) -> None:
        """Publish a nudge about so many items soon."""
        with self._lock:
            self._items += items
        self._woken.set()

    def stop(self) -> None:
        """Publish no more nudges. One that is being published is not waited for."""
        self._stopped.set()
        self._woken.set()

    def _run(self) -> None:
        while self._woken.wait() and not self._stopped.is_set():
            self._woken.clear()
            with self._lock:
                items, self._items = self._items, 0
            guarded(lambda: self._broker.nudge(self._task))
            self._stopped.wait(pause_after(items))
