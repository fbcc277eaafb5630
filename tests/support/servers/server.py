"""What the servers that tests start have in common: a folder, free ports on loopback, start, stop and worse."""

from __future__ import annotations

import atexit
import contextlib
import functools
import grp
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.support.servers.guard import Guard, descendants, signal_all
from tests.support.servers.warm_process import start_python

#: How long a server may take to answer: on a busy machine RabbitMQ takes ten times as long as on an idle one. Below the
#: limit of a test, whose set-up it is.
START_SECONDS = 100.0
#: How long a server may take to stop in good order.
STOP_SECONDS = 30.0
#: Between two looks whether it answers.
LOOK_SECONDS = 0.02

#: Below the ports that the kernel gives to connections, so that nothing takes the port of a server that is down.
PORTS = range(12_000, 30_000)


class NotAvailable(Exception):
    """This machine has no such server; the message says where it was looked for."""


class StartFailed(AssertionError):
    """The server ended, or did not answer in time; the message ends with its log."""


class StopFailed(AssertionError):
    """The server did not stop in good order in time, and was killed; the message ends with its log."""


class Server(ABC):
    """A real server of the tests' own; not started yet.

    Whatever ends pytest, a guard ends the server with all its processes and removes its folder.
    """

    name: ClassVar[str]
    #: What a client raises while it is not ready, beside OSError.
    refusal: ClassVar[type[Exception]] = OSError
    #: Tells it to stop in good order.
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"pipeline-{self.name}-"))
        guard().tell(folder=str(self.folder))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._is_suspended = False

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it is reached."""

    @abstractmethod
    def _launch(self) -> None:
        """Start its processes with `_spawn`, the one that is told to stop last."""

    @abstractmethod
    def _probe(self) -> None:
        """Use it as a client does; raise OSError or `refusal` while it is not ready."""

    @property
    def pid(self) -> int:
        return self._processes[-1].pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it, and return when it answers."""
        assert not self._processes, f"{self.name} runs already"
        self._launch()
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop it in good order; its data stay.

        Raises:
            StopFailed: it did not stop in time.
        """
        if not self._processes:
            return
        self.resume()
        process = self._processes[-1]
        process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise StopFailed(f"{self.name} did not stop in {STOP_SECONDS} s:\n{self.log[-4_000:]}") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """End all its processes at once, as the end of its machine would; its data stay."""
        for process in self._processes:
            family = descendants(process.pid)
            signal_all(process.pid, signal.SIGKILL)
            process.wait()
            guard().tell(ended=process.pid)
            _wait_until_gone(family[1:])
        self._processes.clear()
        self._is_suspended = False

    def restart(self) -> None:
        """Stop it in good order, and start it again at the same port."""
        self.stop()
        self.start()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more: not started, killed, or ended by itself."""
        return not self._processes or self._processes[-1].poll() is not None

    def relaunch(self) -> None:
        """Start it again after it has ended, without waiting until it answers."""
        self.kill()
        self._launch()

    def suspend(self) -> None:
        """Let it hang: connections stay open, the kernel accepts new ones, and nothing is answered."""
        for process in self._processes:
            signal_all(process.pid, signal.SIGSTOP)
        self._is_suspended = True

    def resume(self) -> None:
        """Let it go on where it was suspended."""
        if self._is_suspended:
            for process in self._processes:
                signal_all(process.pid, signal.SIGCONT)
        self._is_suspended = False

    def close(self) -> None:
        """End it and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(
        self, command: list[str | Path], *, user: str | None = None, environment: dict[str, str] | None = None
    ) -> None:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._complete(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # An interrupt from the keyboard is for pytest; and the guard knows a session of ours by its leader.
                start_new_session=True,
                **as_user(user),
            )
        self._keep(process)

    def _spawn_python(self, words: list[str], environment: dict[str, str]) -> None:
        """Start `python -m` with these words."""
        with (self.folder / "log").open("ab") as log:
            process = start_python(
                ["-m", *words],
                cwd=self.folder,
                env=self._complete(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._keep(process)

    def _complete(self, environment: dict[str, str] | None) -> dict[str, str]:
        return os.environ | {"HOME": str(self.folder)} | (environment or {})

    def _keep(self, process: subprocess.Popen[bytes]) -> None:
        guard().tell(started=process.pid)
        self._processes.append(process)

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self._probe()
                return
            except (OSError, self.refusal) as error:
                refusal = error
            if self._ends_meanwhile() or time.monotonic() > end:
                self.kill()
                message = f"{self.name} ended or did not answer in {START_SECONDS} s ({refusal}):\n{self.log[-4_000:]}"
                raise StartFailed(message) from refusal

    def _ends_meanwhile(self) -> bool:
        """Wait a moment, or until the server ends."""
        try:
            self._processes[-1].wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True


@functools.cache
def guard() -> Guard:
    """Return this process's guard."""
    made = Guard()
    atexit.register(made.close)
    return made


def as_user(name: str | None) -> dict[str, str | list[str]]:
    """Return the arguments with which a subprocess runs as another user."""
    return {} if name is None else {"user": name, "group": _group_of(name), "extra_groups": []}


def free_port() -> int:
    """Return a port on loopback that nothing listens on."""
    while True:
        # Not seeded by a test's seed: test processes side by side must not try the same ones.
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


def _group_of(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _wait_until_gone(family: list[int]) -> None:
    end = time.monotonic() + STOP_SECONDS
    # Children of the dead are reaped by init; `descendants` leaves out those that wait for it.
    while any(_is_alive(pid) for pid in family):
        assert time.monotonic() < end, f"processes {family} survived SIGKILL"


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
