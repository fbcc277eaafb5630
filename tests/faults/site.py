"""A site: one database, one broker or none, two workers that are started anew when they end, beat and a receiver."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.context import Context
from tests.faults.altered import switch
from tests.support.receiver import SECRET, Receiver
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.server import Server, StopFailed
from tests.support.servers.worker import LEASE_SECONDS, ROOT, Beat, Worker, wait_for

EMBEDDED, REDIS, RABBITMQ = "embedded", "redis", "rabbitmq"
NAMES = (EMBEDDED, REDIS, RABBITMQ)

#: More workers than faults kill in a row: who is dead then is dead by its own doing.
MAX_CRASHES = 5
#: How soon whoever runs workers starts a new one for one that has ended.
RESTART_SECONDS = 0.1

ALTERED = Path(__file__).parent / "altered"


class Host(Worker):
    """A program that embeds pipeline, as a process of its own."""

    name = "host"
    program: ClassVar[tuple[str, ...]] = ("tests.faults.host",)


class Site:
    """Everything that can be struck, and the client's side of it."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *,
        postgres: Postgres | None = None,
        broker: Redis | RabbitMQ | None = None,
        max_crashes: int = MAX_CRASHES,
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.broker = broker
        self.database_url = database_url
        self.max_crashes = max_crashes
        self.receiver = Receiver()
        self.beat: Beat | None = None
        self.workers: list[Worker] = []
        self._away: set[Server] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._stack = ExitStack()

    @property
    def name(self) -> str:
        return EMBEDDED if self.broker is None else self.broker.name

    @property
    def file(self) -> Path:
        """The file of an embedded site's database."""
        return Path(self.database_url.removeprefix("sqlite:///"))

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _open(self) -> None:
        given = {
            "database_url": self.database_url,
            "broker_url": None if self.broker is None else self.broker.url,
            "lease_seconds": LEASE_SECONDS,
            "max_crashes": self.max_crashes,
            "webhook_secret": SECRET,
            "allow_private_callbacks": "127.0.0.0/8",
        }
        self.context: Context = make_context(settings.load(**given))
        self._stack.callback(self.context.database.close)
        self._stack.enter_context(self.receiver)
        environment = {f"PIPELINE_{name.upper()}": str(value) for name, value in given.items() if value is not None}
        self.environment = environment | {"PYTHONPATH": str(ROOT)}
        altered = {"PYTHONPATH": os.pathsep.join([str(ALTERED), str(ROOT)]), switch.VARIABLE: str(self.folder)}
        if self.broker:
            self.workers = [Worker(self.environment), Worker(self.environment | altered)]
            self.beat = Beat(self.environment)
        else:
            # Messages are in the memory of whoever dispatches: the other waits to take over.
            self.workers = [Host(self.environment | altered), Host(self.environment | altered)]
        for process in self.processes:
            self._stack.callback(process.close)
            process.relaunch()
        self._stack.callback(self._stop_keeping)
        self._keeper.start()
        wait_for(lambda: all(worker.is_ready for worker in self.workers))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def processes(self) -> list[Server]:
        """The processes that are started anew when they end."""
        return [*self.workers, *([self.beat] if self.beat else [])]

    @property
    def altered(self) -> Worker:
        """The worker that can be made to go wrong; embedded, both are."""
        return self.workers[1]

    def kill(self, *processes: Server) -> None:
        """Kill processes at once; others take their places soon."""
        with self._lock:
            for process in processes:
                process.kill()

    def stop(self, process: Server) -> None:
        """Stop a process in good order, or kill it after a while, as service managers do; another takes its place."""
        # With what it needs away as well, it may not be able to stop.
        with self.without(process), suppress(StopFailed):
            process.stop()

    @contextmanager
    def without(self, process: Server) -> Iterator[None]:
        """Have a process stay away when it ends, for a while."""
        with self._lock:
            self._away.add(process)
        try:
            yield
        finally:
            with self._lock:
                self._away.discard(process)

    @contextmanager
    def suspended(self, process: Server) -> Iterator[None]:
        """Have a process hang for a while: it holds what it holds, and goes on where it was."""
        with self._lock:
            process.suspend()
        try:
            yield
        finally:
            with self._lock:
                process.resume()

    @contextmanager
    def altering(self, name: str) -> Iterator[None]:
        """Have the altered worker go wrong in one way for a while, and until it has done so once."""
        acted = self.folder / (name + switch.ACTED)
        acted.unlink(missing_ok=True)
        (self.folder / name).touch()
        try:
            yield
            wait_for(acted.exists)
        finally:
            (self.folder / name).unlink()

    def limit_files(self, size: int) -> None:
        """Have every write of workers beyond `size` bytes of a file fail, as on a full disk; -1: no limit."""
        with self._lock:
            for worker in self.workers:
                if worker.has_ended:
                    continue
                with suppress(ProcessLookupError):
                    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def keep_logs(self) -> Path:
        """Copy what processes have written to the site's folder, which outlives them; return where to."""
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        servers = [*self.workers, *filter(None, (self.beat, self.postgres, self.broker))]
        for number, server in enumerate(servers):
            (logs / f"{number}-{server.name}").write_text(server.log)
        return logs

    def _keep(self) -> None:
        while not self._closing.wait(RESTART_SECONDS):
            with self._lock:
                for process in self.processes:
                    if process.has_ended and process not in self._away:
                        process.relaunch()

    def _stop_keeping(self) -> None:
        self._closing.set()
        self._keeper.join()
