"""A thread that repeats steps, each at its own interval."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.database.trouble import report
from pipeline.errors import Unreachable
from pipeline.log import get_logger

log = get_logger(__name__)

#: Seconds that a running step may take to end. A database that hangs must not delay a stop.
STOP_SECONDS = 2.0

T = TypeVar("T")


def guarded(step: Callable[[], T]) -> T | None:
    """Run a step and log its errors; the next round tries again."""
    try:
        return step()
    except Unreachable as error:
        report(error)
    except Exception:
        log.exception("round_failed")
    return None


class PeriodicThread:
    """Runs each step at its interval, in the given order, on its own thread.

    Args:
        steps: interval in seconds, and the function to run.
        later: steps that are not run at the start.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[tuple[float, Callable[[], object]]],
        *,
        later: Sequence[Callable[[], object]] = (),
    ) -> None:
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
        """Start no more steps, and give the running one `timeout` seconds to end."""
        self._stopping = True
        self._woken.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping:
            for index, (seconds, step) in enumerate(self._steps):
                if time.monotonic() >= self._next_at[index]:
                    # Before the step, so that a `hurry` during the step is not overwritten.
                    self._next_at[index] = time.monotonic() + seconds
                    guarded(step)
            self._woken.wait(max(0.0, min(self._next_at) - time.monotonic()))
            self._woken.clear()
