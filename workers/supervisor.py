"""Supervise worker processes: start them, restart those that died, stop them together."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from celery.platforms import set_pdeathsig

from pipeline.log import get_logger
from pipeline.telemetry.families import RESTARTS

if TYPE_CHECKING:
    from workers.engine.metrics_server import MetricsServer

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
    #: Monotonic seconds: when it first started, or last showed life.
    well_at: float = 0.0

    def start(self) -> None:
        # Without its supervisor, nothing would restart or stop it, so it stops in an orderly way as well.
        self.process = subprocess.Popen(self.arguments, preexec_fn=_end_with_parent)
        self.started_at = time.monotonic()
        self.well_at = self.well_at or self.started_at

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

    def __init__(self, commands: Sequence[Sequence[str]], *, metrics: MetricsServer | None = None) -> None:
        self._metrics = metrics
        self._patience = 0.0 if metrics is None else metrics.patience
        self._children = [_Child(command) for command in commands]
        self._received: deque[int] = deque()
        self._is_stopping = False

    def run(self) -> int:
        """Supervise until a signal arrives and the last process has ended. Return the exit code."""
        for number in _PASSED_ON:
            # Only queued here: a signal that arrives while a process is being started has to reach that process too.
            signal.signal(number, lambda number, frame: self._received.append(number))
        if self._metrics is not None:
            self._metrics.begin("supervisor", self.problem)
        while not (self._is_stopping and all(child.process is None for child in self._children)):
            while self._received:
                self._pass_on(self._received.popleft())
            for child in self._children:
                self._look_after(child)
            time.sleep(LOOK_SECONDS)
        if self._metrics is not None:
            self._metrics.stop()
        return 0

    def problem(self) -> str | None:
        """Return what is wrong with a process, from memory: it said so, or has said nothing for too long."""
        now = time.monotonic()
        for number, child in enumerate(self._children, 1):
            process = child.process
            if process is not None and self._metrics is not None:
                problem = self._metrics.reports.problem(process.pid)
                if problem is not None:
                    return f"process {number}: {problem}"
                child.well_at = max(child.well_at, self._metrics.reports.heard_at(process.pid) or 0.0)
            if child.well_at and now - child.well_at > self._patience:
                return f"process {number} has shown no life for {now - child.well_at:.0f} s"
        return None

    def _look_after(self, child: _Child) -> None:
        code = child.has_died()
        if self._is_stopping:
            return
        if code is not None:
            pause = child.start_at - time.monotonic()
            log.warning("worker_died", exit_code=code, starts_again_in_seconds=round(pause, 1))
            if self._metrics is not None:
                self._metrics.meter.add(RESTARTS)
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
