"""The stage engine: micro-batches that somebody waits for, and its stop."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import orjson
from kombu.transport.memory import Channel
from sqlalchemy import select

from pipeline import settings
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_hooks
from pipeline.broker.publisher import open_publisher
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.database.tables import items
from pipeline.domain.item import Stage
from pipeline.execution.dispatch import Dispatcher
from pipeline.execution.disposition import Disposition, DispositionKind
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.worker import wait_for
from workers.app import app
from workers.engine.item_message import ItemMessage, latest, refs_of
from workers.engine.stage_engine import StageEngine

pytestmark = on_sqlite

HANGS = """
import asyncio

async def classify(item):
    if item.text == "text number 2":
        await asyncio.Event().wait()
    return "x"

async def enrich(item):
    return {}
"""


def test_whoever_waits_gets_what_became_of_each_item_and_the_next_stage_is_published(
    database: Database, tmp_path: Path
) -> None:
    context = Context(settings=settings.load(), database=database, hooks=make_hooks(database))
    with engine(context) as running:
        messages = release_all(context, tmp_path)
        assert len(messages) == 3
        found = running.process_and_wait(Stage.CLASSIFY, refs_of(messages), latest(messages))
    assert found == {message.item: Disposition(DispositionKind.ADVANCED) for message in messages}
    published = received("enrich")
    assert {(each.item, each.epoch, each.root_id) for each in published} == {
        (each.item, each.epoch, each.task_id) for each in messages
    }
    assert {each.chain for each in published} == {None}


def test_where_no_message_is_given_the_next_stage_is_not_published(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(), database=database, hooks=make_hooks(database))
    with engine(context) as running:
        messages = release_all(context, tmp_path)
        found = running.process_and_wait(Stage.CLASSIFY, refs_of(messages), {})
    assert set(found.values()) == {Disposition(DispositionKind.ADVANCED)}
    assert received("enrich") == []


def test_a_stop_ends_the_wait_and_keeps_what_is_recorded(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(), database=database, hooks=make_hooks(database))
    with engine(context) as running, ThreadPoolExecutor() as pool:
        messages = release_all(context, tmp_path, HANGS)
        waiting = pool.submit(running.process_and_wait, Stage.CLASSIFY, refs_of(messages), latest(messages))
        wait_for(lambda: [ref.id for ref in running._runtime.under_way()] == [messages[1].item])
        running.stop(lambda: 0.0)
        found = waiting.result(60)
    first, hanging, last = (found[message.item].kind for message in messages)
    assert (first, hanging, last) == (DispositionKind.ADVANCED, DispositionKind.HANDED_BACK, DispositionKind.ADVANCED)


def test_who_begins_to_wait_after_the_stop_is_handed_everything_back(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(), database=database, hooks=make_hooks(database))
    with engine(context) as running:
        messages = release_all(context, tmp_path)
        running.stop(lambda: 0.0)
        found = running.process_and_wait(Stage.CLASSIFY, refs_of(messages), latest(messages))
    assert set(found.values()) == {Disposition(DispositionKind.HANDED_BACK)}
    with database.read() as connection:
        assert set(connection.scalars(select(items.c.state))) == {"pending"}


def test_a_stop_waits_for_claims_and_what_comes_of_them(database: Database, tmp_path: Path) -> None:
    context = Context(settings=settings.load(), database=database, hooks=make_hooks(database))
    with engine(context) as running, ThreadPoolExecutor() as pool:
        messages = release_all(context, tmp_path)
        with database.write():
            waiting = pool.submit(running.process_and_wait, Stage.CLASSIFY, refs_of(messages), latest(messages))
            wait_for(running._runtime.is_claiming)
            stop = pool.submit(running.stop, lambda: 60.0)
        found = waiting.result(60)
        stop.result(60)
    assert set(found.values()) == {Disposition(DispositionKind.ADVANCED)}


@contextmanager
def engine(context: Context) -> Iterator[StageEngine]:
    app.conf.broker_url = "memory://localhost/"
    Channel.queues.clear()
    running = StageEngine(context, open_publisher(app))
    running.start()
    try:
        yield running
    finally:
        running.stop(lambda: 0.0)


def release_all(context: Context, folder: Path, source: str | None = None) -> list[ItemMessage]:
    """Submit a batch, dispatch it, and return the messages that were published."""
    definition = make_definition(folder, source) if source else make_definition(folder)
    submit(context, make_items(3), Submission(definition))
    Dispatcher(context, open_publisher(app).publish_items).dispatch()
    return received("classify")


def received(queue: str) -> list[ItemMessage]:
    """Return the messages in a queue, by item."""
    found = []
    waiting = Channel.queues.get(queue)
    while waiting is not None and not waiting.empty():
        message = waiting.get_nowait()
        arguments, _, embedded = orjson.loads(base64.b64decode(message["body"]))
        headers = message["headers"]
        found.append(ItemMessage(*arguments, headers["id"], headers["root_id"], embedded["chain"]))
    return sorted(found)
