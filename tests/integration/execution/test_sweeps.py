"""The sweeps of a `control` worker, beside workers whose items it must not take for lost."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.tables import items
from pipeline.domain.item import Stage
from pipeline.execution.dispatch import Dispatcher, TaskMessage
from pipeline.execution.rescue import forget_gone
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.paths import ROOT
from tests.support.servers.warm_process import run_python
from tests.support.servers.worker import wait_for
from workers.engine.sweeps import Sweeps, dead_holders


class Clock:
    """A clock that tests move, and that knows whether it was looked at since."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.seen = threading.Event()

    def __call__(self) -> datetime:
        self.seen.set()
        return self.time

    def forward(self, minutes: int) -> None:
        self.time += timedelta(minutes=minutes)
        self.seen.clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(database_url: str, clock: Clock) -> Iterator[Context]:
    context = replace(make_context(load(database_url=database_url, lease_seconds=1)), now=clock)
    yield context
    context.database.close()


def run_elsewhere(context: Context, folder: Path) -> None:
    """Have one item run by a worker in another place."""
    submit(context, make_items(1), Submission(make_definition(folder)))
    sent: list[TaskMessage] = []
    Dispatcher(context, sent.extend).dispatch()
    with context.database.write() as connection:
        releases.claim(
            connection,
            Stage.CLASSIFY,
            [Ref(message.id, message.epoch) for message in sent],
            now=context.now(),
            lease_until=context.now() + context.lease,
            worker="1.1.abcd@elsewhere",
        )


def state(context: Context) -> tuple[str, int]:
    with context.database.read() as connection:
        return tuple(connection.execute(select(items.c.state, items.c.crashes)).one())  # type: ignore[return-value]


def test_after_an_outage_living_workers_have_time_to_renew(context: Context, clock: Clock, tmp_path: Path) -> None:
    kept = threading.Event()
    sweeps = Sweeps(context, keep=kept.set, rescued=lambda: None)
    sweeps.start()
    wait_for(kept.is_set)
    run_elsewhere(context, tmp_path)
    # Nobody could renew meanwhile.
    clock.forward(1)
    sweeps.hurry()
    wait_for(clock.seen.is_set)
    # Lets the round that is under way end, but wait no longer.
    sweeps.stop()
    assert state(context) == ("running", 0)


def test_who_does_not_renew_after_an_outage_is_rescued(context: Context, clock: Clock, tmp_path: Path) -> None:
    sweeps = Sweeps(context, keep=lambda: None, rescued=lambda: None)
    run_elsewhere(context, tmp_path)
    clock.forward(1)
    sweeps.start()
    try:
        wait_for(lambda: state(context) == ("pending", 1))
    finally:
        sweeps.stop()


GONE = "from pipeline.database.lease_holder import new_holder; print(new_holder())"


def test_a_process_that_is_gone_is_forgotten_and_its_submission_is_not(context: Context, clock: Clock) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    gone = run_python(["-c", GONE], env=environment, text=True).stdout.strip()
    now = context.now()
    with context.database.write() as connection:
        for name in ("dispatch", "dispatch:7", "submit:7", "worker:x"):
            leases.acquire(connection, name, gone, now=now, until=now)
        leases.acquire(connection, "dispatch:8", "1.1.abcd@elsewhere", now=now, until=now)
    forget_gone(context, dead_holders(context))
    assert held(context) == {"submit:7": gone, "dispatch:8": "1.1.abcd@elsewhere"}
    clock.forward(61)
    forget_gone(context, [])
    assert held(context) == {"submit:7": gone}


def held(context: Context) -> dict[str, str]:
    with context.database.read() as connection:
        return {row["name"]: row["holder"] for row in leases.find_by_prefix(connection, "")}


def test_a_process_of_this_host_that_died_since_the_last_rescue_is_noticed_once(context: Context) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    holder = context.worker.replace(f"{os.getpid()}.", f"{gone.pid}.", 1)
    sweeps = Sweeps(context, keep=lambda: None, rescued=lambda: None)
    assert not sweeps.watch()
    with context.database.write() as connection:
        leases.acquire(connection, "dispatch", holder, now=context.now(), until=context.now() + timedelta(minutes=1))
        leases.acquire(connection, "submit:1", holder, now=context.now(), until=context.now() + timedelta(minutes=1))
    assert sweeps.watch()
    sweeps._rescue()
    assert not sweeps.watch()
