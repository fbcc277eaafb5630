"""A process that is started again when it dies."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from pipeline.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a process that died is started again.

    Args:
        first_seconds: pause after its first death, doubled each time it dies soon after its start.
        most_seconds: longest pause.
        healthy_seconds: after running this long, its next death counts as its first.
        troubled_deaths: deaths within `troubled_seconds` from which on it is said to keep dying.
    """

    first_seconds: float = 1.0
    most_seconds: float = 30.0
    healthy_seconds: float = 60.0
    troubled_deaths: int = 3
    troubled_seconds: float = 60.0

    def pause(self, deaths: int) -> float:
        """Return the pause in seconds after this many deaths in a row."""
        return min(self.first_seconds * 2.0 ** (deaths - 1), self.most_seconds)


class SupervisedProcess:
    """Runs a command, and runs it again when it ends, from `start` to `stop`.

    Its standard input is a pipe from this process: at its end, the process should stop by itself. Whatever ends this
    process, that pipe ends with it.

    Args:
        kind: what it is called in the log.
        pass_fds: descriptors that it inherits.
    """

    def __init__(
        self,
        kind: str,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        policy: RestartPolicy | None = None,
    ) -> None:
        self._kind, self._command, self._pass_fds = kind, list(command), tuple(pass_fds)
        self._policy = policy or RestartPolicy()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopping = threading.Event()
        self._died_at: deque[float] = deque(maxlen=self._policy.troubled_deaths)
        self._exit_code = 0
        self._thread = threading.Thread(target=self._run, name=f"pipeline-{kind}", daemon=True)

    def start(self) -> None:
        """Start the process, and the thread that watches it."""
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Write to its standard input, if it runs and has read enough of what was written before."""
        process = self._process
        if process is not None:
            with suppress(OSError, ValueError):
                _standard_input(process).write(data)

    def trouble(self) -> str | None:
        """Return what is wrong if it keeps dying; None if it does not."""
        died_at, policy = list(self._died_at), self._policy
        if len(died_at) < policy.troubled_deaths or time.monotonic() - died_at[0] > policy.troubled_seconds:
            return None
        return (
            f"the {self._kind} process died {policy.troubled_deaths} times within {policy.troubled_seconds:g} s, the "
            f"last time with exit code {self._exit_code}; the log says why; it is started again"
        )

    def ask_to_stop(self) -> None:
        """End its standard input. Does not wait."""
        with self._lock:
            self._is_stopping.set()
            if self._process is not None:
                with suppress(OSError):
                    _standard_input(self._process).close()

    def stop(self, timeout: float) -> None:
        """Let the process stop, and kill it if that takes longer than `timeout` seconds."""
        self.ask_to_stop()
        process = self._process
        if process is not None:
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                log.warning("process_killed", kind=self._kind, seconds=timeout)
                self.kill()
        self._thread.join()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()

    def _run(self) -> None:
        deaths = 0
        while self._begin():
            process, started_at = self._process, time.monotonic()
            assert process is not None
            self._exit_code = process.wait()
            with self._lock, suppress(OSError):
                _standard_input(process).close()
            if self._is_stopping.is_set():
                return
            now = time.monotonic()
            deaths = 1 if now - started_at > self._policy.healthy_seconds else deaths + 1
            self._died_at.append(now)
            pause = self._policy.pause(deaths)
            log.warning("process_died", kind=self._kind, exit_code=self._exit_code, starts_again_in_seconds=pause)
            if self._is_stopping.wait(pause):
                return

    def _begin(self) -> bool:
        """Start the process. Return False if it should not be any more."""
        with self._lock:
            if self._is_stopping.is_set():
                return False
            # A session of its own: Ctrl-C in a terminal reaches this process, which stops that one in turn.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, bufsize=0, pass_fds=self._pass_fds, start_new_session=True
            )
            os.set_blocking(_standard_input(self._process).fileno(), False)
            return True


def _standard_input(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin
