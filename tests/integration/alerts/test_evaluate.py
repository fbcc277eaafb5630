"""What the rules see in the tables, on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table, insert, update

from pipeline.alerts.evaluate import Evaluator
from pipeline.alerts.rules.channel import AlertSettings
from pipeline.alerts.sql import alerts
from pipeline.context import Context
from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.settings import Settings
from tests.support.clock import START, Clock
from tests.support.receivers.owed import context_of

BATCH = {"definition_id": 1, "total": 1_000, "fair_key": "", "created_at": START, "started_at": START}
ITEM = {"payload": "{}", "stage": "enrich", "created_at": START}
MINUTE = timedelta(minutes=1)


class Installation:
    """A database in which tests write what the rules look at."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, Clock()
        settings = Settings(broker_url="redis://127.0.0.1:1/0")
        plain = context_of(database)
        self.context = Context(settings=settings, database=database, hooks=plain.hooks, now=self.clock)
        self.evaluator = Evaluator(self.context, AlertSettings)
        values = {"id": 1, "name": "d", "version": "v", "content": "{}", "stages": "classify,enrich"}
        self.add(tables.definitions, created_at=START, **values)

    def add(self, table: Table, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(insert(table).values(**values))

    def change(self, table: Table, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(table).values(**values))

    def batch(self, id_: int = 1, state: str = "running", **values: Any) -> None:
        self.add(tables.batches, **BATCH | {"id": id_, "public_id": f"b{id_}", "state": state} | values)

    def item(self, id_: int, **values: Any) -> None:
        given = ITEM | {"id": tables.POSITIONS_PER_BATCH + id_, "batch_id": 1, "position": id_} | values
        self.add(tables.items, **given)

    def look(self, seconds: float = 15) -> Mapping[str, str]:
        """Look at a later time; return the summaries of what fires, by key."""
        self.clock.forward(seconds)
        self.evaluator.look()
        with self.database.read() as connection:
            return {row["key"]: row["summary"] for row in alerts.find_firing(connection)}


@pytest.fixture
def installation(database: Database) -> Installation:
    return Installation(database)


def test_nothing_fires_where_nothing_is_wrong(installation: Installation) -> None:
    installation.batch(succeeded=100, dead=10, next_seq=111)
    assert [installation.look(), installation.look()] == [{}, {}]


def test_a_batch_whose_items_die_fires_after_two_looks_and_ends_with_the_batch(installation: Installation) -> None:
    installation.batch(succeeded=80, dead=20)
    assert installation.look() == {}
    assert installation.look() == {"batch_failing:b1": "20 of 100 finished items of batch b1 are dead (20%)"}
    installation.change(tables.batches, completed_at=START, state="completed")
    assert installation.look() == {}


def test_a_share_of_dead_items_that_falls_resolves_after_two_looks(installation: Installation) -> None:
    installation.batch(succeeded=80, dead=20)
    installation.look(), installation.look()
    installation.change(tables.batches, succeeded=800)
    assert list(installation.look()) == ["batch_failing:b1"]
    assert installation.look() == {}


@pytest.mark.parametrize(
    "work",
    [
        {"state": "running"},
        {"state": "queued"},
        {"state": "pending", "due_at": START},
    ],
)
def test_a_batch_with_work_and_no_event_is_stuck(installation: Installation, work: dict[str, Any]) -> None:
    installation.batch()
    installation.add(tables.leases, name="dispatch", holder="w", until=START + 60 * MINUTE)
    installation.add(tables.leases, name="queue:enrich", holder="w", until=START + 60 * MINUTE)
    installation.item(1, **work)
    assert installation.look(599) == {}
    installation.look()
    assert list(installation.look()) == ["batch_stuck:b1"]
    event = {"batch_id": 1, "seq": 1, "type": "item.completed", "body": b"{}"}
    installation.add(tables.events, **event, created_at=installation.clock())
    installation.change(tables.batches, next_seq=2)
    installation.look()
    assert installation.look() == {}


def test_a_batch_that_waits_for_later_is_not_stuck(installation: Installation) -> None:
    installation.batch(1)
    installation.item(1, state="pending", due_at=START + 60 * MINUTE)
    installation.batch(2, state="paused")
    installation.batch(3, state="open")
    installation.look(3_000)
    assert installation.look() == {}


def test_a_batch_past_its_deadline_fires_at_once(installation: Installation) -> None:
    installation.batch(deadline=START + MINUTE, succeeded=10)
    assert installation.look(59) == {}
    assert list(installation.look()) == ["batch_late:b1"]


def test_a_batch_that_is_too_slow_is_at_risk(installation: Installation) -> None:
    installation.batch(deadline=START + 10 * MINUTE, succeeded=500, next_seq=501)
    event = {"batch_id": 1, "type": "item.completed", "body": b"{}"}
    installation.add(tables.events, **event, seq=1, created_at=START)
    # 500 in nine minutes, and 500 remain.
    installation.look(540)
    assert list(installation.look(1)) == ["batch_at_risk:b1"]


def test_due_work_that_nobody_dispatches_fires(installation: Installation) -> None:
    installation.batch()
    installation.item(1, state="pending", due_at=START)
    installation.add(tables.leases, name="dispatch", holder="w", until=START)
    assert installation.look(59) == {}
    installation.look(1)
    assert list(installation.look()) == ["nothing_dispatches"]
    installation.change(tables.leases, until=START + 60 * MINUTE)
    installation.look()
    assert installation.look() == {}


def test_released_items_that_no_worker_takes_fire(installation: Installation) -> None:
    installation.batch()
    installation.item(1, state="queued")
    installation.add(tables.leases, name="queue:enrich", holder="workers", until=START + MINUTE / 2)
    assert installation.look(59) == {}
    installation.look(1)
    assert list(installation.look()) == ["nothing_runs:enrich"]


def test_a_callback_that_is_due_for_long_fires(installation: Installation) -> None:
    delivery = {"batch_id": 1, "created_at": START, "due_at": START, "state": "pending"}
    for number, origin in enumerate(("https://a", "https://b", "https://c", "alert://ops"), 1):
        installation.add(tables.deliveries, **delivery, seq=number, url=origin, origin=origin)
    installation.add(tables.endpoints, origin="https://a", breaker="open", updated_at=START)
    installation.add(
        tables.endpoints, origin="https://b", disabled_at=START, disabled_reason="manual", updated_at=START
    )
    assert installation.look(119) == {}
    installation.look(1)
    assert installation.look() == {"deliveries_late": "a callback to https://c has been due for 135 s"}


def test_endpoints_that_fail_or_are_disabled_fire_at_once(installation: Installation) -> None:
    installation.add(tables.endpoints, origin="https://a", warned=1, updated_at=START)
    installation.add(tables.endpoints, origin="https://b", disabled_at=START, disabled_reason="gone", updated_at=START)
    installation.add(
        tables.endpoints, origin="https://c", disabled_at=START, disabled_reason="manual", updated_at=START
    )
    installation.add(tables.endpoints, origin="alert://a", warned=3, updated_at=START)
    assert set(installation.look()) == {"endpoint_failing:https://a", "endpoint_disabled:https://b"}
    installation.change(tables.endpoints, warned=0, disabled_at=None)
    assert installation.look() == {}


def test_workers_that_die_fire(installation: Installation) -> None:
    installation.batch(dead=1)
    item = {"state": "dead", "crashes": 4, "error_type": "worker_died", "finished_at": START}
    installation.item(1, **item)
    installation.look()
    assert list(installation.look()) == ["workers_dying"]
    installation.look(600)
    assert installation.look() == {}


def test_many_items_that_took_a_worker_with_them_fire(installation: Installation) -> None:
    installation.batch()
    for number in range(1, 21):
        installation.item(number, state="pending", crashes=1, due_at=START + 60 * MINUTE)
    installation.look()
    assert list(installation.look()) == ["workers_dying"]


def test_a_rule_that_is_off_does_not_fire(installation: Installation) -> None:
    rules = dict(AlertSettings().rules)
    rules["batch_late"] = type(rules["batch_late"])(False, rules["batch_late"].severity, {})
    installation.evaluator = Evaluator(installation.context, lambda: AlertSettings(rules=rules))
    installation.batch(deadline=START)
    assert installation.look() == {}
