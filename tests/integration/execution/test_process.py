"""Items that a worker has claimed, when what they need cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from pipeline import settings
from pipeline.batches.submit import Submission, submit
from pipeline.bootstrap import make_hooks
from pipeline.broker.messages import Broker
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.database.tables import items
from pipeline.domain.item import Stage
from pipeline.execution.process import StageProcessor
from pipeline.execution.record import Settled, Settlement
from pipeline.execution.record_thread import RecordThread
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.stages.run.executor import Executor
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.worker import wait_for
from workers.app import app
from workers.engine.stage_engine import StageEngine


def test_items_whose_batch_cannot_be_read_are_left_to_their_leases(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(lease_seconds=1), database=database, hooks=make_hooks())
    with processing(context) as processor:
        refs = release_all(context, tmp_path)
        rename(context, "batches", "away")
        settled: dict[int, Settled] = {}
        processor.process(Stage.CLASSIFY, refs, settled.update)
        assert settled == {ref.id: Settled(Settlement.LOST) for ref in refs}
        assert processor.under_way() == []


@on_sqlite
def test_a_batch_that_cannot_be_read_for_a_moment_is_waited_for(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(lease_seconds=60), database=database, hooks=make_hooks())
    with processing(context) as processor:
        refs = release_all(context, tmp_path)
        rename(context, "batches", "away")
        settled: dict[int, Settled] = {}
        run = threading.Thread(target=processor.process, args=(Stage.CLASSIFY, refs, settled.update))
        run.start()
        wait_for(processor.under_way)
        rename(context, "away", "batches")
        run.join()
        wait_for(lambda: len(settled) == len(refs))
    assert settled == {ref.id: Settled(Settlement.ADVANCED) for ref in refs}


def test_what_is_not_begun_when_a_stop_begins_is_made_pending_again(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(), database=database, hooks=make_hooks())
    with processing(context) as processor:
        refs = release_all(context, tmp_path)
        processor.close()
        settled: dict[int, Settled] = {}
        processor.process(Stage.CLASSIFY, refs, settled.update)
    assert settled == {ref.id: Settled(Settlement.HANDED_BACK) for ref in refs}
    with database.read() as connection:
        assert set(connection.execute(select(items.c.state, items.c.attempt, items.c.worker))) == {("pending", 0, None)}


@on_sqlite
def test_a_stop_ends_the_wait_for_a_database_that_is_away(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(lease_seconds=3_600), database=database, hooks=make_hooks())
    with processing(context) as processor, ThreadPoolExecutor() as pool:
        refs = release_all(context, tmp_path)
        rename(context, "items", "away")
        run = pool.submit(processor.process, Stage.CLASSIFY, refs, lambda _: None)
        wait_for(processor.is_claiming)
        processor.close()
        with pytest.raises(OperationalError):
            run.result(60)


@on_sqlite
def test_a_stop_waits_for_claims_and_what_comes_of_them(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(), database=database, hooks=make_hooks())
    whole = StageEngine(context, Broker(app))
    whole.start()
    refs = release_all(context, tmp_path)
    settled: dict[int, Settled] = {}
    with ThreadPoolExecutor() as pool:
        with database.write():
            run = pool.submit(whole.process, Stage.CLASSIFY, refs, settled.update)
            wait_for(whole._processor.is_claiming)
            stop = pool.submit(whole.stop, lambda: 60.0)
        run.result(60)
        stop.result(60)
    assert settled == {ref.id: Settled(Settlement.ADVANCED) for ref in refs}


@contextmanager
def processing(context: Context) -> Iterator[StageProcessor]:
    executor, recorder = Executor(), RecordThread(context)
    try:
        yield StageProcessor(context, executor, recorder)
    finally:
        recorder.close(10)
        executor.close()


def release_all(context: Context, folder: Path) -> list[Ref]:
    """Submit a batch and release its items, as the dispatcher does."""
    submit(context, make_items(3), Submission(make_definition(folder)))
    now = context.now()
    with context.database.write() as connection:
        ids = list(connection.scalars(select(items.c.id)))
        released = releases.release(
            connection, ids, now=now, lease_until=now + timedelta(seconds=30), worker=context.worker
        )
    return [Ref(each.id, each.epoch) for each in released]


def rename(context: Context, old: str, new: str) -> None:
    with context.database.write() as connection:
        connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
