"""Micro-batches without a worker: released items, a stage runtime, and messages that note what is asked of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from pipeline import settings
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_hooks
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.database.tables import items
from pipeline.definitions import Definition
from pipeline.execution.disposition import Disposition
from pipeline.execution.micro_batch import MicroBatchMessages
from pipeline.execution.record_thread import RecordThread
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stage_runtime import StageRuntime
from pipeline.stages.run.executor import Executor
from tests.support.factories import make_definition, make_items

#: Classifies by its text; enriches with what it was given, and waits for a file if the text says so.
BY_TEXT = """
import asyncio, pathlib
from pipeline import Permanent

def classify(item):
    item.payload["changed"] = True
    return item.text

async def enrich(item):
    while item.text == "slow" and not pathlib.Path(item.payload["gate"]).exists():
        await asyncio.sleep(0.01)
    if item.text == "fails":
        raise RuntimeError("broken")
    if item.text == "dies":
        raise Permanent("never")
    return {"payload": item.payload, "label": item.label, "attempt": item.attempt}
"""


class Steps:
    """Messages that note each step asked of them, with the item's state and stage in the database at that moment."""

    def __init__(self, database: Database, following: MicroBatchMessages | None = None) -> None:
        """`following`: the messages of the next stage, if this process serves it."""
        self._database = database
        self._following = following
        self.begun: list[int] = []
        self.taken: list[tuple[str, int, str, str]] = []
        self.dispositions: dict[int, Disposition] = {}

    def publish_next(self, advanced: Collection[int]) -> None:
        self._note("publish", advanced)

    def chain_here(self, items: Collection[int]) -> MicroBatchMessages | None:
        return self._following

    def begin(self, items: Collection[int]) -> None:
        self.begun += items

    def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        self._note("acknowledge", dispositions)
        self.dispositions.update(dispositions)

    def of(self, item: int) -> list[tuple[str, str, str]]:
        return [(step, state, stage) for step, id_, state, stage in self.taken if id_ == item]

    def _note(self, step: str, ids: Collection[int]) -> None:
        found = states(self._database)
        self.taken += [(step, id_, *found[id_]) for id_ in ids]


def make_context(database: Database, **chosen: Any) -> Context:
    return Context(settings=settings.load(**chosen), database=database, hooks=make_hooks(database))


@contextmanager
def runtime(context: Context) -> Iterator[StageRuntime]:
    executor, recorder = Executor(), RecordThread(context)
    try:
        yield StageRuntime(context, executor, recorder)
    finally:
        recorder.close(10)
        executor.close()


def release_all(context: Context, definition: Definition, given: list[dict[str, Any]] | None = None) -> list[Ref]:
    """Submit a batch and release its items, as the dispatcher does."""
    submit(context, given or make_items(3), Submission(definition))
    now = context.now()
    with context.database.write() as connection:
        chosen = list(connection.scalars(select(items.c.id).order_by(items.c.id)))
        released = releases.release(
            connection, chosen, now=now, lease_until=now + timedelta(seconds=30), worker=context.worker
        )
    return sorted(Ref(each.id, each.epoch) for each in released)


def ids(refs: list[Ref]) -> list[int]:
    return [ref.id for ref in refs]


def states(database: Database) -> dict[int, tuple[str, str]]:
    """Return state and stage of each item."""
    with database.read() as connection:
        rows = connection.execute(select(items.c.id, items.c.state, items.c.stage).order_by(items.c.id))
        return {id_: (state, stage) for id_, state, stage in rows}


def refuse(database: Database, condition: str) -> None:
    """Let the database refuse to change items for which a condition holds."""
    with database.write() as connection:
        connection.execute(
            text(
                f"CREATE TRIGGER refuse BEFORE UPDATE ON items WHEN {condition} "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        )


def rename(context: Context, old: str, new: str) -> None:
    with context.database.write() as connection:
        connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def item_rows(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(select(items).order_by(items.c.id)).mappings()]


def costly(folder: Path, source: str) -> Definition:
    """Return a definition whose classifications are stored before the next stage begins."""
    plain = make_definition(folder, source)
    return Definition(
        name=plain.name,
        folder=plain.folder,
        classify={"use": plain.classify.use, "durable": True},
        enrich=list(plain.enrich),
        input=plain.input,
    )


def all_places(context: Any) -> int:
    """Return how many items of a process may go on to the next stage in it."""
    return 2 * int(context.settings.batch_items) * int(context.settings.concurrency)
