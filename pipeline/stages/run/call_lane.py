"""One call of user code, and the calls of one step under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Protocol

from pipeline.domain.item import WorkItem
from pipeline.log import get_logger

_log = get_logger(__name__)


class Call:
    """A callable, its argument, and who wants the answer.

    Args:
        target: called with `argument`; in a thread it returns the answer, on the loop an awaitable of it.
        timeout_seconds: counted from when the call starts, not from when it is submitted.
        done: receives the answer, or as an object the exception that was raised, exactly once.
        step: the name of what is called, for logs.
    """

    __slots__ = ("_done", "_settled", "argument", "step", "target", "timeout_seconds")

    def __init__(
        self,
        target: Callable[[Any], Any],
        argument: object,
        timeout_seconds: float,
        done: Callable[[object], None],
        step: str = "",
    ) -> None:
        self.step = step
        self.target = target
        self.argument = argument
        self.timeout_seconds = timeout_seconds
        self._done = done
        self._settled = Lock()

    def settle(self, answer: object) -> bool:
        """Hand over `answer`; False where the call was settled before: its timeout and its end may meet."""
        if not self.discard():
            return False
        self._hand_over(answer)
        return True

    def abandon(self, error: Exception) -> bool:
        """Settle with `error`, since nobody waits for the answer any more, and log it; False as `settle`."""
        if not self.discard():
            return False
        items = self.argument if isinstance(self.argument, list) else [self.argument]
        _log.warning(
            "call_abandoned",
            step=self.step,
            items=[item.item_id for item in items if isinstance(item, WorkItem)],
            timeout_seconds=self.timeout_seconds,
        )
        self._hand_over(error)
        return True

    @property
    def is_settled(self) -> bool:
        return self._settled.locked()

    def discard(self) -> bool:
        """Settle without an answer; False where the call was settled before."""
        return self._settled.acquire(blocking=False)

    def _hand_over(self, answer: object) -> None:
        try:
            self._done(answer)
        except Exception as error:
            # The thread or the loop that brought the answer serves others. No traceback: its locals hold payloads.
            _log.error("answer_not_received", error=type(error).__name__)


class CallHost(Protocol):
    """Where calls run."""

    def serve(self, lane: CallLane, count: int) -> None:
        """Run calls of `lane`, `count` at once, until `lane.take()` gives none."""


class CallLane:
    """The calls of one step: at most `max_concurrency` under way, the others wait in order."""

    def __init__(self, host: CallHost, max_concurrency: int) -> None:
        self._host = host
        self._places = max_concurrency
        self._waiting: deque[Call] = deque()
        self._lock = Lock()

    def submit(self, calls: Iterable[Call]) -> None:
        """Start the calls, as many as there are places; the others start as places become free."""
        with self._lock:
            self._waiting.extend(calls)
            count = min(self._places, len(self._waiting))
            self._places -= count
        if count:
            self._host.serve(self, count)

    def take(self) -> Call | None:
        """Return the next call for a place that became free; None gives the place back."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._places += 1
            return None
