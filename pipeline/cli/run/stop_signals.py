"""Ctrl-C and SIGTERM: the first asks to stop where nothing is torn, the second ends at once."""

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
    """A person or the system asked this command to stop."""


class Stop:
    """Hears the signals from enter to exit."""

    def __init__(self) -> None:
        self._is_asked = False
        # Unlike an event's lock, its own may be taken by a handler that interrupts a wait.
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._is_reading = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._hear) for each in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def check(self) -> None:
        """Raise `Stopped` if it was asked for."""
        if self._is_asked:
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait that long, or raise `Stopped` as soon as it is asked for."""
        with suppress(Empty):
            self._woken.get(timeout=seconds)
        self.check()

    def reading(self, items: Iterable[T]) -> Iterator[T]:
        """Yield from `items`; a wait for input is cut short."""
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
            yield item  # type: ignore[misc]  # the sentinel is gone

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._is_asked = True
        self._woken.put(None)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        # A read would go on after the handler, on a terminal for ever.
        if self._is_reading:
            raise Stopped


_END = object()
