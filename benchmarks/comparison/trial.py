"""One run of one contestant: a fresh database, an empty broker, workers that are warm, then the items on the clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison.completeness import Outcome, complaints
from benchmarks.comparison.entrant import Entrant
from benchmarks.comparison.receiver import Receiver
from benchmarks.contestants.program import EXPECTED, READY, Place
from tests.support.paths import ROOT
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.server import Server, StartFailed

Submit = Callable[[int, int], float]

#: Before the clock starts: connections, caches, and the proof that workers work.
WARM_UP_ITEMS = 300
#: Between two looks at the receiver.
LOOK_SECONDS = 0.01
#: Without any further callback the run is over.
STALL_SECONDS = 30.0
#: For callbacks that come twice.
SETTLE_SECONDS = 0.5


class ContestantFailed(Exception):
    """A contestant's program did not do what it was told."""


@dataclass(frozen=True)
class Trial:
    """What a run gave."""

    title: str
    way: str
    round: int
    items: int
    seconds: float
    #: Of which the call that submits them took.
    submit_seconds: float
    complaints: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Items a second, from the call that submits them to the last callback; 0 where there was none."""
        return self.items / self.seconds if self.seconds else 0.0


class Crew(Server):
    """A contestant's workers."""

    name = "contestant"

    def __init__(self, module: str, environment: dict[str, str]) -> None:
        super().__init__()
        self._module = module
        self._environment = environment

    @property
    def url(self) -> str:
        raise AttributeError("workers listen to nothing")

    def _launch(self) -> None:
        self._spawn(_command(self._module, "work"), environment=self._environment)

    def _probe(self) -> None:
        head, found, tail = self.log.partition(EXPECTED)
        if not found or (head + tail).count(READY) < int(tail.split()[0]):
            raise OSError("not all of its processes consume yet")


class Bench:
    """The servers on which one contestant after the other runs."""

    def __init__(self, postgres: Postgres, brokers: dict[str, Redis | RabbitMQ], receiver: Receiver) -> None:
        self._postgres = postgres
        self._brokers = brokers
        self._receiver = receiver
        self._databases = 0

    def run(self, entrant: Entrant, way: str, round_: int, items: int, processes: int) -> Trial:
        """Run a contestant once. Where one of its programs fails, the run does not count."""
        try:
            return self._run(entrant, way, round_, items, processes)
        except (ContestantFailed, StartFailed, subprocess.CalledProcessError) as error:
            return Trial(entrant.title, way, round_, items, 0.0, 0.0, (str(error),))

    def _run(self, entrant: Entrant, way: str, round_: int, items: int, processes: int) -> Trial:
        # A missing one is an error: given no URL, a library may turn to whatever listens at the standard port.
        broker = None if entrant.broker == "none" else self._brokers[entrant.broker]
        if broker is not None:
            broker.clear()
        self._receiver.forget()
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-benchmark-")))
            database = stack.enter_context(self._database(entrant, folder))
            place = Place(database, broker.url if broker else "", self._receiver.url, processes, way)
            environment = {"PYTHONPATH": str(ROOT)} | place.to_environment()
            _output(entrant, "prepare", environment)
            crew = stack.enter_context(Crew(entrant.module, environment))
            try:
                submitted, seconds = self._timed(entrant, environment, items, folder)
                stored = json.loads(_output(entrant, "stored", environment))
            except BaseException:
                print(crew.log[-4_000:], file=sys.stderr)
                raise
        outcome = Outcome(stored["total"], stored["right"], self._receiver.ids())
        found = complaints(WARM_UP_ITEMS + items, outcome)
        return Trial(entrant.title, way, round_, items, seconds, submitted, tuple(found))

    def _timed(self, entrant: Entrant, environment: dict[str, str], items: int, folder: Path) -> tuple[float, float]:
        """Return the seconds until all were submitted, and until all were called back."""
        with _submitter(entrant, environment, folder) as submit:
            submit(1, WARM_UP_ITEMS)
            self._await(WARM_UP_ITEMS)
            start = time.monotonic()
            submitted = submit(1 + WARM_UP_ITEMS, items)
            end = self._await(WARM_UP_ITEMS + items)
            time.sleep(SETTLE_SECONDS)
        return submitted, end - start

    def _await(self, items: int) -> float:
        """Return when so many were called back, or when the last one was."""
        last, seen = time.monotonic(), 0
        while time.monotonic() < last + STALL_SECONDS:
            # As many requests may be fewer items: what counts is looked at afterwards.
            found = len(self._receiver.ids())
            if found != seen:
                last, seen = time.monotonic(), found
            if found >= items:
                break
            time.sleep(LOOK_SECONDS)
        return last

    @contextmanager
    def _database(self, entrant: Entrant, folder: Path) -> Iterator[str]:
        if not entrant.is_on_postgresql:
            yield f"sqlite:///{folder}/pipeline.db"
            return
        self._databases += 1
        name = f"bench_{self._databases}"
        self._postgres.run(f"CREATE DATABASE {name}")
        # What the one before has left to be written is none of this one's business.
        self._postgres.run("CHECKPOINT")
        try:
            yield self._postgres.url_of(name)
        finally:
            self._postgres.drop(self._postgres.url_of(name))


def _command(module: str, doing: str) -> list[str | Path]:
    return [sys.executable, "-m", "benchmarks.contestants", module, doing]


def _output(entrant: Entrant, doing: str, environment: dict[str, str]) -> str:
    command = _command(entrant.module, doing)
    return subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextmanager
def _submitter(entrant: Entrant, environment: dict[str, str], folder: Path) -> Iterator[Submit]:
    """Run the program that submits, warm, until the end; yield what has it submit and returns the seconds it took."""
    with subprocess.Popen(
        _command(entrant.module, "submit"),
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        requests, answers = program.stdin, program.stdout

        def answer(expected: str) -> None:
            line = answers.readline().strip()
            if line != expected:
                raise ContestantFailed(f"the program that submits ended, or said {line!r}")

        def submit(first: int, count: int) -> float:
            start = time.monotonic()
            requests.write(f"{first} {count}\n")
            requests.flush()
            answer("submitted")
            return time.monotonic() - start

        answer("ready")
        yield submit
