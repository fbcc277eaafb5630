"""Calls of user code, and the lane that limits how many calls of a step run concurrently."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Protocol

from pipeline.domain.item import WorkItem
from pipeline.log import get_logger

_log = get_logger(__name__)


class Call:
    """A callable, its argument, and the callback that receives the answer.

    A call completes once: with its answer, by being abandoned, or by being cancelled.

    Args:
        target: called with `argument`; returns the answer in a thread, and an awaitable of it on the event loop.
        timeout_seconds: measured from the start of the call, not from its submission.
        on_done: called at most once, with the answer or with the exception that was raised.
        step: the name of the step, for logs.
    """

    __slots__ = ("_completed", "_on_done", "argument", "step", "target", "timeout_seconds")

    def __init__(
        self,
        target: Callable[[Any], Any],
        argument: object,
        timeout_seconds: float,
        on_done: Callable[[object], None],
        step: str = "",
    ) -> None:
        self.step = step
        self.target = target
        self.argument = argument
        self.timeout_seconds = timeout_seconds
        self._on_done = on_done
        self._completed = Lock()

    def complete(self, answer: object) -> bool:
        """Deliver `answer`; return False if the call was already complete: it may finish just as it times out."""
        if not self.cancel():
            return False
        self._deliver(answer)
        return True

    def abandon(self, error: Exception) -> bool:
        """Deliver `error` without waiting for the answer any longer, and log it; return False like `complete`."""
        if not self.cancel():
            return False
        items = self.argument if isinstance(self.argument, list) else [self.argument]
        _log.warning(
            "call_abandoned",
            step=self.step,
            item_ids=[item.item_id for item in items if isinstance(item, WorkItem)],
            timeout_seconds=self.timeout_seconds,
        )
        self._deliver(error)
        return True

    @property
    def is_complete(self) -> bool:
        return self._completed.locked()

    def cancel(self) -> bool:
        """Complete the call without an answer; return False if it was already complete."""
        return self._completed.acquire(blocking=False)

    def _deliver(self, answer: object) -> None:
        try:
            self._on_done(answer)
        except Exception as error:
            # The thread or loop that runs this serves other calls. No traceback, because its locals contain payloads.
            _log.error("answer_not_received", error=type(error).__name__)


class CallHost(Protocol):
    """Runs the calls of lanes: in threads, or on an event loop."""

    def run_lane(self, lane: CallLane, slots: int) -> None:
        """Run up to `slots` calls of `lane` concurrently, until `lane.take_next()` returns None in each slot."""


class CallLane:
    """The calls of one step: at most `max_concurrency` run concurrently, and the others wait in order."""

    def __init__(self, host: CallHost, max_concurrency: int) -> None:
        self._host = host
        self._free_slots = max_concurrency
        self._waiting: deque[Call] = deque()
        self._lock = Lock()

    def submit(self, calls: Iterable[Call]) -> None:
        """Start as many calls as there are free slots; the others start when slots become free."""
        with self._lock:
            self._waiting.extend(calls)
            slots = min(self._free_slots, len(self._waiting))
            self._free_slots -= slots
        if slots:
            self._host.run_lane(self, slots)

    def take_next(self) -> Call | None:
        """Return the next call for a slot that became free; None frees the slot."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._free_slots += 1
            return None
