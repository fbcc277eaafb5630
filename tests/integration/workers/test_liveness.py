"""Signs of life of a worker: given while it takes what waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.batches.control import cancel
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.execution.dispatch import Dispatcher, TaskMessage
from pipeline.execution.liveness import lives_here
from pipeline.execution.rescue import rescue_lost
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_sqlite
from workers.engine.liveness import BEAT_SECONDS, LivenessThread
from workers.engine.sweeps import RESCUE_SECONDS

LEASE_SECONDS = 30.0

pytestmark = on_sqlite


class Worker:
    """A worker whose thread comes round; dispatch and sweeps go on beside it, and only the test moves the clock."""

    def __init__(self, url: str, folder: Path) -> None:
        self.seconds = 0.0
        opened = make_context(load(database_url=url, lease_seconds=LEASE_SECONDS))
        self.context = replace(opened, now=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds))
        definition = make_definition(folder)
        self.batch_id = submit(self.context, make_items(10), Submission(definition)).batch_id
        self.sent: list[TaskMessage] = []
        self.dispatcher = Dispatcher(self.context, self.sent.extend)
        self.vitals = LivenessThread(self.context, {"classify"}, seconds=lambda: self.seconds)
        self.vitals.connected(True)

    def live(self, seconds: float, *, is_full: bool = False) -> list[bool]:
        """Let time pass without a message, and return what a check from outside saw at each look."""
        seen = []
        end = self.seconds + seconds
        while self.seconds < end:
            self.seconds += BEAT_SECONDS
            if self.seconds % RESCUE_SECONDS < BEAT_SECONDS:
                rescue_lost(self.context)
            self.dispatcher.dispatch()
            self.vitals.beat(is_full=is_full)
            self.vitals.look()
            seen += [life.is_alive for life in lives_here(self.context)]
        return seen


@pytest.fixture
def worker(database_url: str, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(database_url, tmp_path)
    yield made
    made.context.database.close()


def test_a_worker_that_takes_nothing_is_not_alive_however_often_it_is_offered_again(worker: Worker) -> None:
    # Half a lease until items are left waiting, a lease until its last sign of life is over.
    assert all(worker.live(1.5 * LEASE_SECONDS - BEAT_SECONDS))
    worker.live(3 * BEAT_SECONDS)
    assert not any(worker.live(5 * LEASE_SECONDS))
    worker.vitals.received()
    assert all(worker.live(LEASE_SECONDS))


def test_a_worker_is_alive_again_when_nothing_has_waited_for_a_lease(worker: Worker) -> None:
    worker.live(3 * LEASE_SECONDS)
    cancel(worker.context, worker.batch_id)
    assert not all(worker.live(LEASE_SECONDS - BEAT_SECONDS))
    worker.live(2 * BEAT_SECONDS)
    assert all(worker.live(LEASE_SECONDS))


def test_a_worker_that_holds_all_it_may_is_alive(worker: Worker) -> None:
    assert all(worker.live(5 * LEASE_SECONDS, is_full=True))


def test_a_worker_without_a_connection_is_alive(worker: Worker) -> None:
    worker.vitals.connected(False)
    assert all(worker.live(5 * LEASE_SECONDS))
