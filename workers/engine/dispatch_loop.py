"""The thread that dispatches, woken by submissions, completions and a timer. Running two is harmless."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pipeline.context import Context
from pipeline.execution.dispatch import Dispatched, Dispatcher
from workers.engine.periodic import STOP_SECONDS, guarded

#: The safety net: seconds between rounds that nobody requested.
IDLE_SECONDS = 1.0
#: The same while items are in flight: the longest delay of a refill after other processes finished items.
ACTIVE_SECONDS = 0.1
#: The same while a guard limits how many items of a batch are in flight.
LIMITED_SECONDS = 0.03
#: Wait after a failed round, doubled each time.
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.25, 4.0


class DispatchLoop:
    """Dispatches until it is stopped.

    Args:
        dead: returns the processes that are known to be gone, so that their lease on dispatching need not run out.
    """

    def __init__(self, context: Context, dispatcher: Dispatcher, *, dead: Callable[[], Sequence[str]]) -> None:
        self._context = context
        self._dispatcher = dispatcher
        self._dead = dead
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._failures = 0
        self._patience = min(IDLE_SECONDS, context.settings.lease_seconds / 4)
        self._thread = threading.Thread(target=self._run, name="pipeline-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Dispatch now."""
        self._woken.set()

    def ask_to_stop(self) -> None:
        """Stop dispatching soon and let another process take over."""
        self._stopped.set()
        self._woken.set()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Stop dispatching. A running round has `timeout` seconds to end."""
        self.ask_to_stop()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.is_set():
            dispatched = guarded(lambda: self._dispatcher.dispatch(self._dead()))
            if dispatched is None:
                # Not woken by completions: with an unreachable broker they would make it retry without a pause.
                self._back_off()
                continue
            self._failures = 0
            self._woken.wait(self._pause(dispatched))
            self._woken.clear()
        guarded(self._dispatcher.stop)

    def _back_off(self) -> None:
        pause = min(FIRST_BACKOFF_SECONDS * 2**self._failures, MAX_BACKOFF_SECONDS)
        self._failures += 1
        self._stopped.wait(pause)

    def _pause(self, dispatched: Dispatched) -> float:
        longest = self._patience
        if dispatched.is_active:
            longest = min(LIMITED_SECONDS if dispatched.is_limited else ACTIVE_SECONDS, longest)
        if dispatched.next_due_at is None:
            return longest
        until_due = (dispatched.next_due_at - self._context.now()).total_seconds()
        return min(longest, max(0.005, until_due))
