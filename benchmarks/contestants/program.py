"""What every contestant does when it is told to on its command line, and where it finds what it works with.

python -m benchmarks.contestants NAME prepare   make tables
python -m benchmarks.contestants NAME work      run the workers, until killed
python -m benchmarks.contestants NAME submit    submit items for each line `FIRST COUNT` of the standard input
python -m benchmarks.contestants NAME stored    print as JSON how many items there are, and how many are right
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Protocol

from benchmarks.job import enrichment_of, label_of

#: What a worker process writes, in a line of any form, when it consumes.
READY = " ready."
#: Before the number of worker processes that will.
EXPECTED = "processes: "

Submit = Callable[[int, int], None]


@dataclass(frozen=True)
class Place:
    """Where a contestant works: handed down in the environment, as `BENCH_` and the name."""

    database_url: str
    #: Empty: the contestant needs none. One that does calls `broker_url_of`.
    broker_url: str
    callback_url: str
    #: Worker processes.
    processes: int
    #: One of the ways in which the contestant can be set up.
    way: str

    def to_environment(self) -> dict[str, str]:
        """Return the variables that `place` reads."""
        return {f"BENCH_{name.upper()}": str(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Crew:
    """Programs that work: arguments for the interpreter, and how many worker processes say that they are ready."""

    commands: tuple[tuple[str, ...], ...]
    processes: int
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """An item that is done, as it lies in the database."""

    text: str
    label: str | None
    enrichment: dict[str, int] | None


class Contestant(Protocol):
    """One way to have the job done."""

    def prepare(self) -> None:
        """Make what is to be there before anything runs; the database is empty."""

    def crew(self) -> Crew:
        """Return what is to run."""

    def submitter(self) -> AbstractContextManager[Submit]:
        """Return what submits items from a number on, so many."""

    def stored(self) -> tuple[int, Iterable[Row]]:
        """Return how many items there are, and those that are done."""


def place() -> Place:
    """Return where this program works."""
    given = os.environ
    return Place(
        database_url=given["BENCH_DATABASE_URL"],
        broker_url=given["BENCH_BROKER_URL"],
        callback_url=given["BENCH_CALLBACK_URL"],
        processes=int(given["BENCH_PROCESSES"]),
        way=given["BENCH_WAY"],
    )


def broker_url_of(here: Place) -> str:
    """Return the broker's URL.

    Raises:
        ValueError: none was given, and a library's default would be a server that is not ours.
    """
    if not here.broker_url:
        raise ValueError("BENCH_BROKER_URL is empty")
    return here.broker_url


def run(contestant: Contestant, doing: str) -> None:
    """Do one of what the command line names."""
    doings: dict[str, Callable[[], None]] = {
        "prepare": contestant.prepare,
        "work": lambda: _work(contestant.crew()),
        "submit": lambda: _submit(contestant),
        "stored": lambda: _stored(contestant),
    }
    doings[doing]()


def _work(crew: Crew) -> None:
    # Read by the harness.
    print(f"{EXPECTED}{crew.processes}", flush=True)
    environment = os.environ | dict(crew.environment)
    running = [subprocess.Popen([sys.executable, *command], env=environment) for command in crew.commands]
    for each in running:
        each.wait()


def _submit(contestant: Contestant) -> None:
    with contestant.submitter() as submit:
        print("ready", flush=True)
        for line in sys.stdin:
            first, count = map(int, line.split())
            submit(first, count)
            print("submitted", flush=True)


def _stored(contestant: Contestant) -> None:
    total, rows = contestant.stored()
    right = sum(row.label == label_of(row.text) and row.enrichment == enrichment_of(row.text) for row in rows)
    print(json.dumps({"total": total, "right": right}))
