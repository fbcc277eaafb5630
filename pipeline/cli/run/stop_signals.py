"""Ctrl-C and SIGTERM: the first signal asks for a clean stop, the second ends the process at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The user or the system asked the command to stop. The message, if there is one, says what is left."""


class StopSignals:
    """Handles stop signals from enter to exit."""

    def __init__(self) -> None:
        self._is_requested = False
        # SimpleQueue.put is reentrant, so the handler may interrupt a wait on the queue. The lock of an Event is not.
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._is_reading = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Stopped` if a stop was requested."""
        if self._is_requested:
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait for `seconds`; raise `Stopped` as soon as a stop is requested."""
        with suppress(Empty):
            self._wakeups.get(timeout=seconds)
        self.check()

    def interruptible(self, items: Iterable[T]) -> Iterator[T]:
        """Yield from `items`; a stop request also interrupts the wait for the next item."""
        source = iter(items)
        while True:
            self.check()
            self._is_reading = True
            try:
                item = next(source, _END)
            finally:
                self._is_reading = False
            if item is _END:
                return
            yield item  # type: ignore[misc]  # never the sentinel here

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._is_requested = True
        self._wakeups.put(None)
        for signum in _SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        # Python retries an interrupted read after the handler returns; on a terminal it would wait forever.
        if self._is_reading:
            raise Stopped


_END = object()
