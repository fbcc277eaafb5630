"""The audit of a batch finds each thing that was lost or counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, update

import pipeline
from pipeline.batches import control
from pipeline.batches.replays import replay
from pipeline.context import Context
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, deliveries, events, items
from pipeline.delivery.audit import audit
from pipeline.delivery.owe import owe_callbacks
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.domain.event import EventType
from pipeline.domain.item import ItemState
from pipeline.errors import NotFound
from pipeline.hooks import Happening
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import client_context

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://receiver.example/hook"


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    with pipeline.connect(database_url=database_url, webhook_secret=SECRET) as client:
        yield client_context(client)


@pytest.fixture
def batch(context: Context, tmp_path: Path) -> WrittenBatch:
    """A batch of five items that ended in every way there is."""
    batch = write_batch(context, tmp_path, 5)
    batch.finish(3)
    batch.finish(1, ItemState.DEAD)
    batch.finish(1, ItemState.CANCELLED)
    return batch


def codes(batch: WrittenBatch) -> list[str]:
    return [violation.code for violation in audit(batch.context, batch.id).violations]


def item(batch: WrittenBatch, position: int) -> int:
    return batch.row_id * POSITIONS_PER_BATCH + position


def test_a_batch_that_went_well_has_no_violations(batch: WrittenBatch) -> None:
    found = audit(batch.context, batch.id)
    assert found.violations == ()
    assert found.items == {ItemState.SUCCEEDED: 3, ItemState.DEAD: 1, ItemState.CANCELLED: 1}
    assert (found.total, found.events, found.callbacks) == (5, 6, {})


def test_neither_has_one_that_is_running_paused_or_replayed(context: Context, tmp_path: Path) -> None:
    batch = write_batch(context, tmp_path, 4)
    assert codes(batch) == []
    batch.finish(2, ItemState.DEAD)
    control.pause(context, batch.id)
    assert codes(batch) == []
    control.resume(context, batch.id)
    batch.finish(2)
    assert replay.replay(context, batch.id, ItemState.DEAD) == 2
    assert codes(batch) == []
    batch.finish_pending()
    assert codes(batch) == []


def _lose_item(connection: Connection, batch: WrittenBatch) -> None:
    connection.execute(delete(items).where(items.c.id == item(batch, 2)))


def _miscount(connection: Connection, batch: WrittenBatch) -> None:
    connection.execute(update(batches).where(batches.c.id == batch.row_id).values(dead=7))


def _lose_event_in_the_middle(connection: Connection, batch: WrittenBatch) -> None:
    connection.execute(delete(events).where(events.c.batch_id == batch.row_id, events.c.seq == 2))


def _lose_last_event(connection: Connection, batch: WrittenBatch) -> None:
    connection.execute(delete(events).where(events.c.batch_id == batch.row_id, events.c.seq == 6))


def _report_another_end(connection: Connection, batch: WrittenBatch) -> None:
    connection.execute(
        update(events).where(events.c.batch_id == batch.row_id, events.c.seq == 4).values(type="item.completed")
    )


def _end_twice(connection: Connection, batch: WrittenBatch) -> None:
    chosen = select(events.c.batch_id, 7, events.c.type, events.c.item_id, events.c.body, events.c.created_at)
    chosen = chosen.where(events.c.batch_id == batch.row_id, events.c.seq == 1)
    connection.execute(insert(events).from_select(["batch_id", "seq", "type", "item_id", "body", "created_at"], chosen))
    connection.execute(update(batches).where(batches.c.id == batch.row_id).values(next_seq=8))


def _unfinish(connection: Connection, batch: WrittenBatch) -> None:
    connection.execute(update(items).where(items.c.id == item(batch, 4)).values(state="pending"))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_lose_item, ["items_missing", "counter_wrong", "completed_early"]),
        (_miscount, ["counter_wrong"]),
        (_lose_event_in_the_middle, ["end_unreported", "log_has_gaps"]),
        (_lose_last_event, ["log_cut_off", "completion_unreported"]),
        (_report_another_end, ["end_unreported"]),
        (_end_twice, ["ended_again"]),
        (_unfinish, ["counter_wrong", "completed_early"]),
    ],
)
def test_each_kind_of_loss_is_found(
    batch: WrittenBatch, damage: Callable[[Connection, WrittenBatch], None], expected: list[str]
) -> None:
    with batch.context.database.write() as connection:
        damage(connection, batch)
    assert codes(batch) == expected


def test_an_event_without_its_delivery_is_found(context: Context, tmp_path: Path) -> None:
    batch = write_batch(context, tmp_path, 3, callback_url=URL, batch_callback_url=URL)
    batch.finish(3)
    with context.database.write() as connection:
        owe_callbacks(connection, [_happening(batch, seq) for seq in (1, 2, 3, 4)], context.now())
    found = audit(context, batch.id)
    assert (found.violations, found.callbacks) == ((), {DeliveryState.PENDING: 4})
    with context.database.write() as connection:
        connection.execute(delete(deliveries).where(deliveries.c.seq.in_([2, 4])))
    (violation,) = audit(context, batch.id).violations
    assert (violation.code, violation.examples) == ("callback_missing", (2, 4))


def test_what_ended_before_is_left_out(batch: WrittenBatch) -> None:
    with batch.context.database.write() as connection:
        _report_another_end(connection, batch)
    later = batch.context.now() + timedelta(seconds=1)
    assert audit(batch.context, batch.id, since=later).violations == ()


def test_a_batch_that_is_not_there_is_not_found(context: Context) -> None:
    with pytest.raises(NotFound):
        audit(context, "nothing")


def _happening(batch: WrittenBatch, seq: int) -> Happening:
    return Happening(
        batch_row=batch.row_id,
        seq=seq,
        type=EventType.ITEM_COMPLETED,
        item_row=None,
        body=b"{}",
        callback_urls=(URL,),
        public_id=batch.id,
        schedule=None,
    )
