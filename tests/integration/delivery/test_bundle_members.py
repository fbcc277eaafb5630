"""Bundles whose deliveries do not all have the same fate."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import update

from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.delivery.claim import record_sent
from pipeline.delivery.give_up import expire
from pipeline.delivery.rules.delivery import Answer, Owed, Sent
from pipeline.domain.retry_schedule import Schedule
from tests.support.receivers.configured import NOW, claim, configure, owe_items, positions_in
from tests.support.receivers.owed import deliveries, states

URL = "http://127.0.0.1:8001/hook"
ORIGIN = "http://127.0.0.1:8001"
HOUR = timedelta(hours=1)


def fail(database: Database, at: datetime) -> Owed:
    """Claim the one request that may be made, and answer it with a failure. Return it."""
    (owed,) = claim(database, now=at).owed
    schedule = Schedule(delays=(timedelta(seconds=1),) * 9)
    record_sent(database, [Sent(owed, Answer(500), at, at)], worker="a", schedule=schedule)
    return owed


def test_a_bundle_of_which_some_grew_too_old_goes_on_by_its_schedule_to_its_end(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=4, coalesce_ms=0)
    owe_items(database, URL, 2, at=NOW)
    owe_items(database, URL, 2, at=NOW + HOUR)
    fail(database, NOW + HOUR)
    at = NOW + timedelta(days=4, minutes=30)
    assert expire(database, ORIGIN, None, at) == [1, 2]
    second = fail(database, at)
    assert (second.attempt, second.count, len(positions_in(second.body))) == (2, 2, 4)
    assert [(row["state"], row["attempt"]) for row in deliveries(database)] == [("dead", 1)] * 2 + [("pending", 2)] * 2
    assert claim(database, now=at).owed == ()
    fail(database, at + HOUR)
    assert states(database) == ["dead"] * 4


def test_deliveries_of_a_bundle_that_were_tried_unequally_often_are_settled_together(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=3, coalesce_ms=0)
    owe_items(database, URL, 3, at=NOW)
    fail(database, NOW)
    with database.write() as connection:
        connection.execute(update(tables.deliveries).where(tables.deliveries.c.id == 2).values(attempt=3))
    again = fail(database, NOW + HOUR)
    assert (again.attempt, again.count) == (4, 3)
    assert {(row["state"], row["attempt"]) for row in deliveries(database)} == {("pending", 4)}
