"""`pipeline worker` as processes of the tests' own, and a client beside them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from click.testing import CliRunner
from kombu import Connection
from sqlalchemy import func, select

import pipeline
from pipeline.cli import main
from pipeline.database.engine import Database
from pipeline.database.tables import items, leases
from pipeline.definitions import Definition
from tests.support.factories import make_definition
from tests.support.paths import ROOT
from tests.support.receiver import SECRET
from tests.support.servers.server import LOOK_SECONDS, Server

#: Short leases, so that what is lost comes back while a test waits.
LEASE_SECONDS = 2.0


class Beat(Server):
    """Celery's beat."""

    name = "beat"

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self._environment = environment

    @property
    def url(self) -> str:
        raise AttributeError("beat listens to nothing")

    def _launch(self) -> None:
        words = ["celery", "--app", "workers.app", "--quiet", "beat", "--loglevel", "info"]
        self._spawn_python([*words, "--schedule", str(self.folder / "schedule")], self._environment)

    def _probe(self) -> None:
        if "beat: Starting" not in self.log:
            raise OSError("it has not started yet")


class Worker(Server):
    """One `pipeline worker`; `stop` asks it to stop in good order, `kill` takes all its processes."""

    name = "worker"
    #: What `python -m` runs; it writes " ready." when it works.
    program: ClassVar[tuple[str, ...]] = ("pipeline", "worker")

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        super().__init__()
        self._environment = environment
        self._options = options
        self._starts = 0

    @property
    def url(self) -> str:
        raise AttributeError("a worker listens to nothing")

    def _launch(self) -> None:
        self._starts = self.log.count(" ready.")
        self._spawn_python([*self.program, *self._options], self._environment)

    def _probe(self) -> None:
        if not self.is_ready:
            raise OSError("it does not consume yet")

    @property
    def is_ready(self) -> bool:
        """Whether it has begun to consume since it was launched last."""
        return self.log.count(" ready.") > self._starts

    def children(self) -> list[int]:
        """Return the processes that it has started itself."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def pool(self) -> list[int]:
        """Return the processes of its prefork pool."""
        return [pid for pid in self.children() if b"spawn_main" in _command(pid)]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is true of it."""
        wait_for(condition, seconds)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


_never = threading.Event()


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look again and again until `condition` holds.

    Raises:
        AssertionError: it does not, after so many seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not so after {seconds} s"
        _never.wait(LOOK_SECONDS)


class Cluster:
    """Workers, a client and a database on one broker. Workers end with it."""

    def __init__(self, folder: Path, database_url: str, broker_url: str, **settings: Any) -> None:
        self.folder = folder
        self.database_url = database_url
        self.settings: dict[str, Any] = {
            "broker_url": broker_url,
            "lease_seconds": LEASE_SECONDS,
            "webhook_secret": SECRET,
            "allow_private_callbacks": "127.0.0.0/8",
        } | settings
        self._stack = ExitStack()
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        self.database = Database(self.database_url)
        self._stack.callback(self.database.close)
        self.client = self._stack.enter_context(pipeline.connect(database_url=self.database_url, **self.settings))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            for worker in self.workers:
                print(f"--- {worker.folder}\n{worker.log[-6_000:]}")
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to take part."""
        given = {f"PIPELINE_{name.upper()}": str(value) for name, value in self.settings.items()}
        # Callables lie in the test's folder.
        path = os.pathsep.join([str(ROOT), str(self.folder)])
        return {"PIPELINE_DATABASE_URL": self.database_url, "PYTHONPATH": path, **given}

    def worker(self, *options: str, **settings: Any) -> Worker:
        """Start a worker with these options of `pipeline worker`; `settings` differ from the cluster's."""
        changed = {f"PIPELINE_{name.upper()}": str(value) for name, value in settings.items()}
        worker = Worker(self.environment | changed, *options)
        self._stack.callback(worker.close)
        self.workers.append(worker)
        worker.start()
        return worker

    def beat(self) -> Beat:
        """Start Celery's beat."""
        beat = Beat(self.environment)
        self._stack.callback(beat.close)
        beat.start()
        return beat

    def exit_code(self, *arguments: str) -> int:
        """Run a command of `pipeline` in this process, and return its exit code."""
        return CliRunner().invoke(main, list(arguments), env=self.environment, prog_name="pipeline").exit_code

    def publish(self, queue: str, body: bytes, **headers: Any) -> None:
        """Put a message into a queue as any program may that reaches the broker."""
        with Connection(self.settings["broker_url"]) as connection, connection.Producer() as producer:
            producer.publish(
                body,
                routing_key=queue,
                content_type="application/json",
                content_encoding="utf-8",
                headers=headers,
                delivery_mode=2,
            )

    def definition(self, *source: str, **tables: Any) -> Definition:
        """Return a definition whose callables every worker can import."""
        return make_definition(self.folder, *source, **tables)

    def signs_of_life(self) -> datetime:
        """Return until when the last sign of life of a worker is good."""
        with self.database.read() as connection:
            found = connection.scalar(select(func.max(leases.c.until)).where(leases.c.name.like("worker:%")))
        assert found is not None
        return found

    def count(self, **values: str) -> int:
        """Return how many items have these values in these columns."""
        query = select(func.count()).select_from(items)
        with self.database.read() as connection:
            return int(connection.scalar(query.where(*(items.c[name] == value for name, value in values.items()))) or 0)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is true of it."""
        wait_for(condition, seconds)
