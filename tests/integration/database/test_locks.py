"""Everything that changes items, at once and on the same items: nobody waits in a circle, nothing counts twice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.batches.control import cancel, pause, resume
from pipeline.batches.reconcile import cancel_rest, reconcile
from pipeline.batches.sql import batches
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context, utc_now
from pipeline.database.row import Row
from pipeline.domain.batch import BatchState
from pipeline.domain.item import Classification, Enrichment, Stage
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.execution.dispatch import Dispatcher, TaskMessage
from pipeline.execution.record import Done, enrichment_json, record
from pipeline.execution.rescue import hand_back, renew, rescue_lost
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.invariants import assert_complete
from tests.support.servers.fixtures import on_postgresql

WORKERS = 4
ITEMS = 150
ROUNDS = 300


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = make_context(load(database_url=database_url, max_crashes=100))
    yield context
    context.database.close()


class Crowd:
    """Workers that do what workers do, each at random, on what any of them was ever told."""

    def __init__(self, context: Context, folder: Path) -> None:
        self.definition = make_definition(
            folder, retry={"base_seconds": 0.001, "cap_seconds": 0.001, "max_attempts": 99}
        )
        self.contexts = [replace(context, worker=f"worker-{number}") for number in range(WORKERS)]
        self.batches = [submit(context, make_items(ITEMS), Submission(self.definition)).batch_id for _ in range(3)]
        with context.database.read() as connection:
            self.ids = batches.find_open(connection, BatchState.RUNNING)
        self.messages: list[TaskMessage] = []

    def work(self, number: int) -> None:
        """Run many random steps as one worker; most outcomes are failures, so that items stay in motion."""
        context, rng = self.contexts[number], random.Random(number)
        dispatcher = Dispatcher(context, self.messages.extend)
        steps: list[Callable[[], object]] = [
            dispatcher.dispatch,
            dispatcher.stop,
            *[lambda: self.run_some(context, rng)] * 6,
            lambda: rescue_lost(context, [rng.choice(self.contexts).worker]),
            lambda: renew(context, self.some_refs(rng)),
            lambda: hand_back(context),
            lambda: cancel_rest(context, self.ids[0]),
            lambda: reconcile(context, rng.choice(self.ids)),
            lambda: pause(context, self.batches[1]),
            *[lambda: resume(context, self.batches[1])] * 3,
        ]
        for _ in range(ROUNDS):
            rng.choice(steps)()

    def finish(self) -> None:
        """Run what is left to its end, as one worker."""
        resume(self.contexts[0], self.batches[1])
        others = [each.worker for each in self.contexts]
        for minutes in itertools.count(1, 2):
            # Each round after all leases of the last: messages that nobody chose are as good as lost.
            later = utc_now() + timedelta(minutes=minutes)
            context = replace(self.contexts[0], now=lambda later=later: later)
            if all(is_done(context, id_) for id_ in self.ids):
                return
            self.messages.clear()
            rescue_lost(context, others)
            Dispatcher(context, self.messages.extend).dispatch(others)
            self.run_some(context, random.Random(0), failing=0)

    def some_refs(self, rng: random.Random) -> list[Ref]:
        """Return some of the last messages, in no order, as if each had been sent many times."""
        latest = self.messages[-3 * ITEMS :]
        return [Ref(each.id, each.epoch) for each in rng.sample(latest, min(len(latest), 60))]

    def run_some(self, context: Context, rng: random.Random, failing: float = 0.9) -> None:
        for stage in (Stage.CLASSIFY, Stage.ENRICH):
            refs, now = self.some_refs(rng), context.now()
            claimed = self.claim(context, stage, refs)
            rng.shuffle(claimed)
            outcomes = [outcome(stage, rng.random() < failing) for _ in claimed]
            done = [
                Done(row, stage, self.definition, each, now, now, "b", enrichment_json(each))
                for row, each in zip(claimed, outcomes, strict=True)
            ]
            with context.database.write() as connection:
                record(
                    connection, done, now=now, lease=timedelta(minutes=1), worker=context.worker, hooks=context.hooks
                )

    def claim(self, context: Context, stage: Stage, refs: list[Ref]) -> list[Row]:
        now = context.now()
        until = now + timedelta(minutes=1)
        with context.database.write() as connection:
            return releases.claim(connection, stage, refs, now=now, lease_until=until, worker=context.worker)


def outcome(stage: Stage, is_failure: bool) -> Outcome:
    if is_failure:
        return Failure(FailureKind.TRANSIENT, "RuntimeError", "at random")
    return Classification("x", 0.5) if stage is Stage.CLASSIFY else Enrichment({})


@on_postgresql  # SQLite has one writer at a time
@pytest.mark.timeout(300)
def test_all_that_changes_items_at_once_never_deadlocks_and_counts_once(context: Context, tmp_path: Path) -> None:
    crowd = Crowd(context, tmp_path)
    cancel(context, crowd.batches[0])
    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(crowd.work, range(WORKERS)))
    crowd.finish()
    for id_ in crowd.ids:
        assert reconcile(context, id_) == {}
    for public_id in crowd.batches:
        assert_complete(context.database, public_id, ITEMS)
    assert deadlocks(context) == 0


def is_done(context: Context, batch_id: int) -> bool:
    with context.database.read() as connection:
        return batches.is_complete(connection, batch_id)


def deadlocks(context: Context) -> int:
    with context.database.write() as connection:
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.exec_driver_sql(query).scalar_one())
