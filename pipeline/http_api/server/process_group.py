"""Several processes that answer requests on one socket, and the one that works on batches beside them.

The parent binds the socket and answers nothing itself. Each child has a pipe from it: lines on it say what is wrong
with the work, and its end tells the child to stop.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

import orjson

from pipeline.http_api.server.options import ServeOptions
from pipeline.http_api.server.supervised_process import SupervisedProcess
from pipeline.http_api.server.work_beside import WorkProcess
from pipeline.settings import Settings

#: Seconds between two looks at the work.
_LOOK_SECONDS = 0.5
#: Beyond what the children may take to stop.
_STOP_MARGIN_SECONDS = 1.0
_CHUNK_BYTES = 65_536


class ProcessGroup:
    """Runs the children until this process is told to stop."""

    def __init__(
        self, settings: Settings, options: ServeOptions, listener: socket.socket, *, report_to: Path | None = None
    ) -> None:
        self._settings, self._listener = settings, listener
        self._count = options.processes
        self._work = WorkProcess(settings, report_to=report_to) if settings.is_embedded and options.has_work else None
        self._ready, tell_ready = os.pipe()
        self._wakes, wake = os.pipe()
        inherited = {"listener": listener.fileno(), "ready": tell_ready, "wake": wake}
        argument = orjson.dumps({"options": options.model_dump(mode="json"), **inherited}).decode()
        command = [sys.executable, "-m", "pipeline.http_api.server.serve_process", argument]
        passed = tuple(inherited.values())
        self._children = [SupervisedProcess("serve", command, pass_fds=passed) for _ in range(options.processes)]
        self._signals: SimpleQueue[int] = SimpleQueue()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start the children; return when all have stopped.

        Args:
            on_ready: called when every child answers.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: self._signals.put(number))
        for child in self._children:
            child.start()
        for target in (lambda: self._await_children(on_ready), self._pass_wakes_on):
            threading.Thread(target=target, name="pipeline-serve-parent", daemon=True).start()
        told = ""
        while not self._has_signal(_LOOK_SECONDS):
            problem = (self._work and self._work.problem()) or ""
            if problem != told:
                told = problem
                self._tell(problem)
        self._listener.close()
        self._stop()

    def _await_children(self, on_ready: Callable[[], None]) -> None:
        ready = 0
        while ready < self._count:
            ready += len(os.read(self._ready, self._count - ready))
        on_ready()
        if self._work is not None:
            self._work.start()

    def _pass_wakes_on(self) -> None:
        while os.read(self._wakes, _CHUNK_BYTES):
            if self._work is not None:
                self._work.wake()

    def _tell(self, problem: str) -> None:
        for child in self._children:
            child.write(problem.encode() + b"\n")

    def _has_signal(self, timeout: float) -> bool:
        try:
            self._signals.get(timeout=timeout)
        except Empty:
            return False
        return True

    def _stop(self) -> None:
        """Stop the children at the same time; a second signal ends them at once."""
        seconds = self._settings.stop_seconds + _STOP_MARGIN_SECONDS
        stops: Sequence[Callable[[], None]] = [lambda each=each: each.stop(seconds) for each in self._children]  # type: ignore[misc]
        stops = [*stops, *([self._work.stop] if self._work is not None else [])]
        threads = [threading.Thread(target=stop, daemon=True) for stop in stops]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if self._has_signal(0.05):
                for child in self._children:
                    child.kill()
                if self._work is not None:
                    self._work.kill()
