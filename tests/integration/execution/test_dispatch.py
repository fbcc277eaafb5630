"""What a round of dispatch costs, and whom it serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from pipeline.batches.control import pause, resume
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, items, spans, unreleased
from pipeline.domain.ids import new_batch_id
from pipeline.execution.dispatch import Dispatcher, TaskMessage
from pipeline.execution.rules.fairness import FLOOR
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_postgresql

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = replace(make_context(load(database_url=database_url)), now=lambda: NOW)
    yield context
    context.database.close()


def statements_of_a_round(context: Context) -> int:
    """Dispatch once; return how many statements that took."""
    seen: list[str] = []

    def remember(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(context.database.engine, "before_cursor_execute", remember)
    Dispatcher(context, lambda _messages: None).dispatch()
    event.remove(context.database.engine, "before_cursor_execute", remember)
    return len(seen)


def add_idle(context: Context, number: int) -> None:
    """Add batches that are open and have nothing to release: one item each, which runs."""
    with context.database.write() as connection:
        model = dict(connection.execute(select(batches)).mappings().one())
        item = dict(connection.execute(select(items).limit(1)).mappings().one())
        ids = range(model["id"] + 1, model["id"] + 1 + number)
        connection.execute(insert(batches), [model | {"id": id_, "public_id": new_batch_id()} for id_ in ids])
        running = item | {"state": "running", "lease_until": NOW + timedelta(hours=1)}
        connection.execute(
            insert(items), [running | {"id": id_ * POSITIONS_PER_BATCH + 1, "batch_id": id_} for id_ in ids]
        )


def test_batches_that_have_nothing_to_release_cost_no_statement(context: Context, tmp_path: Path) -> None:
    submission = Submission(make_definition(tmp_path))
    submit(context, make_items(40), submission)
    add_idle(context, 3)
    few = statements_of_a_round(context)
    with context.database.write() as connection:
        connection.execute(spans.delete())
        connection.execute(insert(unreleased).values(batch_id=select(batches.c.id).limit(1).scalar_subquery(), first=1))
        connection.execute(items.delete().where(items.c.state == "running"))
        connection.execute(batches.delete().where(batches.c.id.not_in(select(items.c.batch_id))))
    add_idle(context, 300)
    assert statements_of_a_round(context) <= few < 14


def test_the_next_due_time_is_the_earliest_of_all_running_batches(context: Context, tmp_path: Path) -> None:
    submission = Submission(make_definition(tmp_path))
    later = [submit(context, make_items(2), submission).batch_id for _ in range(3)]
    with context.database.write() as connection:
        connection.execute(unreleased.delete())
        for seconds, id_ in enumerate(connection.scalars(select(items.c.id).order_by(items.c.id)).all(), 1):
            due_at = NOW + timedelta(seconds=seconds)
            connection.execute(update(items).where(items.c.id == id_).values(due_at=due_at))
    dispatcher = Dispatcher(context, lambda _messages: None)
    assert dispatcher.dispatch().next_due_at == NOW + timedelta(seconds=1)
    pause(context, later[0])
    assert dispatcher.dispatch().next_due_at == NOW + timedelta(seconds=3)
    resume(context, later[0])
    soon = Dispatcher(replace(context, now=lambda: NOW + timedelta(seconds=1)), lambda _messages: None)
    dispatcher.stop()
    round_ = soon.dispatch()
    assert (round_.released, round_.next_due_at) == (1, NOW + timedelta(seconds=2))


def test_a_window_full_of_one_batch_still_lets_another_begin(context: Context, tmp_path: Path) -> None:
    submission = Submission(make_definition(tmp_path))
    sent: list[TaskMessage] = []
    dispatcher = Dispatcher(context, sent.extend)
    submit(context, make_items(5_000), submission)
    while dispatcher.dispatch().released:
        pass
    assert len(sent) == dispatcher.window
    sent.clear()
    submit(context, make_items(100), submission)
    dispatcher.dispatch()
    assert {message.id // POSITIONS_PER_BATCH for message in sent} == {2}
    assert len(sent) >= FLOOR


def test_what_one_batch_leaves_of_the_window_another_takes(context: Context, tmp_path: Path) -> None:
    submission = Submission(make_definition(tmp_path))
    sent: list[TaskMessage] = []
    submit(context, make_items(3), submission)
    submit(context, make_items(5_000), submission)
    dispatcher = Dispatcher(context, sent.extend)
    dispatcher.dispatch()
    assert len(sent) == dispatcher.window
    assert sum(message.id // POSITIONS_PER_BATCH == 1 for message in sent) == 3


@on_postgresql  # SQLite has one writer at a time
def test_a_round_does_not_wait_for_items_that_another_transaction_holds(context: Context, tmp_path: Path) -> None:
    submit(context, make_items(5), Submission(make_definition(tmp_path)))
    with context.database.write() as connection:
        connection.execute(items.update().values(due_at=NOW, epoch=1))
        connection.execute(unreleased.delete())
    released: list[TaskMessage] = []
    dispatcher = Dispatcher(context, released.extend)
    with context.database.write() as holder:
        held = holder.scalar(select(items.c.id).where(items.c.position == 2).with_for_update())
        assert dispatcher.dispatch().released == 4
    assert dispatcher.dispatch().released == 1
    assert released[-1].id == held


@on_postgresql  # SQLite has one writer at a time
def test_a_round_does_not_wait_for_a_batch_whose_rows_another_transaction_holds(
    context: Context, tmp_path: Path
) -> None:
    held, free = (submit(context, make_items(5), Submission(make_definition(tmp_path))).batch_id for _ in range(2))
    released: list[TaskMessage] = []
    dispatcher = Dispatcher(context, released.extend)
    with context.database.write() as holder:
        # As those that record results do, and as another dispatcher would.
        holder.execute(select(batches.c.id).with_for_update())
        holder.execute(select(unreleased.c.batch_id).where(unreleased.c.batch_id == 1).with_for_update())
        assert dispatcher.dispatch().released == 5
        assert {message.item_id.split("-")[0] for message in released} == {free}
    assert dispatcher.dispatch().released == 5
    assert {message.item_id.split("-")[0] for message in released} == {free, held}
