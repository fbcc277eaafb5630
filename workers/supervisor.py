"""Supervise worker processes: start them, restart those that died, stop them together."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from celery.platforms import set_pdeathsig

from pipeline.log import get_logger

log = get_logger(__name__)

#: Seconds between checks whether the processes are alive.
LOOK_SECONDS = 0.2
#: Wait before a process is restarted, doubled each time it dies soon after its start.
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 1.0, 30.0
#: After running this long a process counts as healthy, and its next death as its first.
HEALTHY_SECONDS = 60.0

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


@dataclass(slots=True)
class _Child:
    """One worker process; `process` is None while it waits for its next start."""

    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = field(default=0)

    def start(self) -> None:
        # Without its supervisor, nothing would restart or stop it, so it stops in an orderly way as well.
        self.process = subprocess.Popen(self.arguments, preexec_fn=_end_with_parent)
        self.started_at = time.monotonic()

    def has_died(self) -> int | None:
        """Return the exit code of a process that has just ended, and schedule its restart; None if it has not ended."""
        code = None if self.process is None else self.process.poll()
        if code is None:
            return None
        self.deaths = 1 if time.monotonic() - self.started_at > HEALTHY_SECONDS else self.deaths + 1
        self.process = None
        pause = min(FIRST_BACKOFF_SECONDS * 2 ** (self.deaths - 1), MAX_BACKOFF_SECONDS)
        self.start_at = time.monotonic() + pause
        return code


class Supervisor:
    """Runs one process per command until it receives SIGTERM, SIGINT or SIGQUIT."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self._children = [_Child(command) for command in commands]
        self._received: deque[int] = deque()
        self._is_stopping = False

    def run(self) -> int:
        """Supervise until a signal arrives and the last process has ended. Return the exit code."""
        for number in _PASSED_ON:
            # Only queued here: a signal that arrives while a process is being started has to reach that process too.
            signal.signal(number, lambda number, frame: self._received.append(number))
        while not (self._is_stopping and all(child.process is None for child in self._children)):
            while self._received:
                self._pass_on(self._received.popleft())
            for child in self._children:
                self._look_after(child)
            time.sleep(LOOK_SECONDS)
        return 0

    def _look_after(self, child: _Child) -> None:
        code = child.has_died()
        if self._is_stopping:
            return
        if code is not None:
            pause = child.start_at - time.monotonic()
            log.warning("worker_died", exit_code=code, starts_again_in_seconds=round(pause, 1))
        if child.process is None and time.monotonic() >= child.start_at:
            child.start()

    def _pass_on(self, number: int) -> None:
        self._is_stopping = True
        for child in self._children:
            # A terminal sends SIGINT to all of them itself, and a second one would cut their stop short.
            if child.process is not None and not (number == signal.SIGINT and sys.stdin.isatty()):
                child.process.send_signal(number)


def _end_with_parent() -> None:
    set_pdeathsig("SIGTERM")
