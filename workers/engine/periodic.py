"""Threads that repeat steps, each at its own pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.errors import Unreachable
from pipeline.log import get_logger

log = get_logger(__name__)

#: What a round that has begun may take to end. A database that hangs must not hold up a stop.
STOP_SECONDS = 2.0

T = TypeVar("T")


def guarded(step: Callable[[], T]) -> T | None:
    """Run a step; log what goes wrong and go on: the next round tries again."""
    try:
        return step()
    except Unreachable as error:
        log.warning("service_unreachable", error=str(error))
    except Exception:
        log.exception("round_failed")
    return None


class PeriodicThread:
    """Runs each step every so many seconds, in the order given, on a thread of its own."""

    def __init__(
        self,
        name: str,
        steps: Sequence[tuple[float, Callable[[], object]]],
        *,
        later: Sequence[Callable[[], object]] = (),
    ) -> None:
        """`steps` are seconds and what to run; those in `later` wait for their time at the start, too."""
        self._steps = steps
        self._next_at = [time.monotonic() + seconds if step in later else 0.0 for seconds, step in steps]
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Run the first step now."""
        self._next_at[0] = 0.0
        self._woken.set()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Start no other step, and give the one that runs `timeout` seconds to end."""
        self._stopping = True
        self._woken.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping:
            for index, (seconds, step) in enumerate(self._steps):
                if time.monotonic() >= self._next_at[index]:
                    # Before the step, so that a wish to hurry that comes during it is not overwritten.
                    self._next_at[index] = time.monotonic() + seconds
                    guarded(step)
            self._woken.wait(max(0.0, min(self._next_at) - time.monotonic()))
            self._woken.clear()
