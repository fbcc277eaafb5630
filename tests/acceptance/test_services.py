"""The services of docker-compose.yml as plain processes: their very commands, from submission to results to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipeline.database.engine import Database
from tests.support.compose import ROOT, SECRETS, services
from tests.support.flower import Flower
from tests.support.invariants import assert_complete, assert_delivered
from tests.support.receiver import Receiver
from tests.support.servers.postgres import Postgres
from tests.support.servers.redis import Redis
from tests.support.servers.server import Server, free_port
from tests.support.servers.warm_process import run_python, start_python
from tests.support.terminal import ROOT as SOURCES

TICKETS = ROOT / "examples" / "support-tickets" / "tickets.jsonl"
LASTING = ("classify", "enrich", "deliver", "control", "beat", "flower")
STOP_SECONDS = 60
#: How Celery's beat ends where the signal comes in the middle of a message: its handler closes the schedule, and the
#: exception with which it wants to leave is lost in the client of the broker. It has nothing else to lose.
CUT_SHORT = "ValueError: invalid operation on closed shelf"


class Composed:
    """The services, without containers: what differs is where the servers are, and where files lie."""

    def __init__(self, folder: Path, database_url: str, broker_url: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.flower_port = free_port()
        self._services = services({**SECRETS, "PIPELINE_BROKER_URL": broker_url, "DEFINITIONS_FOLDER": "examples"})
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a service that ends, as `docker compose run` does, with a command of one's own if given."""
        service = self._services[name]
        command = [*service.get("entrypoint", []), *(words or service["command"])]
        return run_python(self._here(command), cwd=self._workdir, env=self._environment(name), input=input)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service that lasts."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = start_python(
                self._here(self._services[name]["command"]),
                cwd=self._workdir,
                env=self._environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.PIPE if name == "flower" else log,
            )
        return self._running[name]

    def is_healthy(self, name: str) -> bool:
        """Run the check of a service once."""
        kind, *words = self._services[name]["healthcheck"]["test"]
        place: dict[str, Any] = {"cwd": self._workdir, "env": self._environment(name)}
        if kind == "CMD-SHELL":
            words = ["sh", "-c", *self._moved(words)]
            return subprocess.run(words, **place, capture_output=True, check=False).returncode == 0
        return run_python(self._here(words), **place).returncode == 0

    def stop(self) -> dict[str, int]:
        """Send SIGTERM to all that run and return their exit codes."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(STOP_SECONDS) for name, process in self._running.items()}

    def kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.communicate()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text().strip()

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))

    @property
    def _workdir(self) -> Path:
        return ROOT / "examples"

    def _environment(self, name: str) -> dict[str, str]:
        given: Mapping[str, Any] = self._services[name]["environment"]
        settings = {key: value for key, value in given.items() if value is not None}
        if "PIPELINE_DATABASE_URL" in settings:
            settings["PIPELINE_DATABASE_URL"] = self.database_url
            settings["PIPELINE_DEFINITIONS"] = str(self._workdir)
            settings["PIPELINE_ALLOW_PRIVATE_CALLBACKS"] = "127.0.0.0/8"
        programs = Path(sys.executable).parent
        return {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(SOURCES), **settings}

    def _here(self, words: list[str]) -> list[str]:
        """The same command as arguments of Python, with places of this machine."""
        program, *rest = words
        return [*([] if program == "python" else ["-m", program]), *self._moved(rest)]

    def _moved(self, words: list[str]) -> list[str]:
        places = {"/tmp": str(self.folder), "0.0.0.0": "127.0.0.1", "5555": str(self.flower_port)}
        for there, here in places.items():
            words = [word.replace(there, here) for word in words]
        return words


@pytest.fixture
def broker(redis: Redis) -> Server:
    # One: what differs between brokers has tests of its own.
    return redis


@pytest.fixture
def composed(tmp_path: Path, postgres: Postgres, broker: Server) -> Iterator[Composed]:
    url = postgres.database()
    postgres.run(f"DROP DATABASE {url.rpartition('/')[2]}")
    postgres.run(f"CREATE DATABASE {url.rpartition('/')[2]}")
    made = Composed(tmp_path, url, broker.url)
    yield made
    made.kill()
    # Shown where the test has failed.
    print(made.logs())
    postgres.drop(url)


def test_what_compose_runs_works_from_submission_to_stop(composed: Composed, broker: Server) -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        migrated = composed.run("migrate")
        assert migrated.returncode == 0, migrated.stderr
        for name in LASTING:
            composed.start(name)
        flower = Flower(composed._running["flower"])

        words = ("submit", "-", "-p", "support-tickets", "--callback-url", receiver.url)
        submitted = composed.run("pipeline", *words, "--batch-callback-url", receiver.url, input=TICKETS.read_bytes())
        assert submitted.returncode == 0, submitted.stderr
        batch = submitted.stdout.decode().strip()
        total = len(TICKETS.read_bytes().splitlines())
        receiver.wait_for(lambda arrived: bool(arrived.of_type("batch.completed")) and len(arrived.bodies) == total + 1)

        results = composed.run("pipeline", "results", batch).stdout.splitlines()
        assert sorted(json.loads(line)["seq"] for line in results) == list(range(1, total + 1))
        # The checks do not know the broker: once is enough.
        checked = LASTING if isinstance(broker, Redis) else ()
        assert [name for name in checked if not composed.is_healthy(name)] == [], composed.logs()
        workers = flower.get("/api/workers?refresh=1", user="ada", password="lovelace").json()
        assert {name.partition("@")[0] for name in workers} == {"classify", "enrich", "deliver", "control"}

        codes = composed.stop()
        if composed.log("beat").endswith(CUT_SHORT):
            assert codes.pop("beat") == 1
        assert set(codes.values()) == {0}, composed.logs()
        database = Database(composed.database_url)
        assert_complete(database, batch, total)
        assert_delivered(database, batch, total + 1)
        database.close()
