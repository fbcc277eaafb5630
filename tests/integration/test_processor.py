"""Items that a worker has claimed, when what they need cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, text

from pipeline import settings
from pipeline.domain.item import Stage
from pipeline.services.context import Context
from pipeline.services.process import Processor
from pipeline.services.record import Settled, Settlement
from pipeline.services.recorder import Recorder
from pipeline.services.runners import Runners
from pipeline.services.submit import Submission, submit
from pipeline.stages.executor import Executor
from pipeline.storage import releases
from pipeline.storage.engine import Database
from pipeline.storage.releases import Ref
from pipeline.storage.tables import items
from tests.factories import make_definition, make_items
from tests.services.fixtures import on_sqlite
from tests.services.worker import wait_for


def test_items_whose_batch_cannot_be_read_are_left_to_their_leases(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(lease_seconds=1), database=database)
    with processing(context) as processor:
        refs = release_all(context, tmp_path)
        rename(context, "batches", "away")
        settled: dict[int, Settled] = {}
        processor.process(Stage.CLASSIFY, refs, settled.update)
        assert settled == {ref.id: Settled(Settlement.LOST) for ref in refs}
        assert processor.under_way() == []


@on_sqlite
def test_a_batch_that_cannot_be_read_for_a_moment_is_waited_for(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(lease_seconds=60), database=database)
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


@contextmanager
def processing(context: Context) -> Iterator[Processor]:
    executor, recorder = Executor(), Recorder(context)
    try:
        yield Processor(context, Runners(context, executor), recorder)
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
