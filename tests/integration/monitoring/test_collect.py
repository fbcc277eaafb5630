"""What is read from SQL: true, complete, cheap, and nothing rather than something old."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, update

import pipeline
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database import leases, totals
from pipeline.database.tables import (
    POSITIONS_PER_BATCH,
    alerts,
    batches,
    definitions,
    deliveries,
    endpoints,
    items,
    spans,
    unreleased,
)
from pipeline.domain.item import Stage
from pipeline.errors import Unreachable
from pipeline.monitoring import collect, families
from pipeline.monitoring.collect import CollectMoment, Collector, read_all
from pipeline.monitoring.scale import wanted_for
from pipeline.retention.prune import prune
from pipeline.settings import load
from pipeline.telemetry.families import Family
from pipeline.telemetry.meter import Labels
from tests.integration.database.test_plans import scans_of, statements
from tests.support.factories import client_context, make_definition, make_items
from tests.support.receivers.configured import NOW
from tests.support.servers.fixtures import on_postgresql, on_sqlite

AGO = timedelta(seconds=40)


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = replace(make_context(load(database_url=database_url)), now=lambda: NOW)
    yield context
    context.database.close()


def put_definition(connection: Connection, id_: int, name: str) -> None:
    row = {"id": id_, "name": name, "version": f"v{id_}", "content": "{}", "stages": "classify", "created_at": NOW}
    connection.execute(insert(definitions).values(row))


def put_batch(connection: Connection, id_: int, definition: int = 1, **values: object) -> None:
    row = {"state": "running", "total": 0, "fair_key": "", "created_at": NOW - AGO, "public_id": f"b{id_}"} | values
    connection.execute(insert(batches).values(id=id_, definition_id=definition, **row))


def put_item(connection: Connection, batch: int, position: int, **values: object) -> None:
    row = {"payload": "{}", "stage": "classify", "state": "pending", "created_at": NOW, "crashes": 0} | values
    id_ = batch * POSITIONS_PER_BATCH + position
    connection.execute(insert(items).values(id=id_, batch_id=batch, position=position, **row))


def put_delivery(connection: Connection, seq: int, state: str, **values: object) -> None:
    row = {"url": "https://a/", "origin": "https://a", "due_at": NOW, "created_at": NOW} | values
    connection.execute(insert(deliveries).values(batch_id=1, seq=seq, state=state, **row))


def fill(context: Context) -> None:
    """Store something of everything that is counted."""
    lease = context.lease
    with context.database.write() as connection:
        put_definition(connection, 1, "mail")
        put_definition(connection, 2, "old")
        put_definition(connection, 3, "mail")
        # 20 items: 4 pending by row, 2 queued, 1 running, 4 in a span, 3 never released, 6 final.
        put_batch(connection, 1, total=20, succeeded=4, dead=2, next_seq=7, last_position=20, deadline=NOW - AGO)
        put_batch(connection, 2, 2, total=5, dead=5, next_seq=7, state="completed", completed_at=NOW)
        put_batch(connection, 3, 3, total=9, cancelled=1, state="paused", last_position=9)
        put_batch(connection, 4, total=1_000, state="accepting")
        for position in (1, 2):
            put_item(connection, 1, position, due_at=NOW - timedelta(seconds=10 * position), epoch=1)
        put_item(connection, 1, 3, due_at=NOW + AGO, epoch=1)
        put_item(connection, 1, 4, due_at=NOW - timedelta(seconds=5), crashes=1, epoch=1)
        put_item(connection, 3, 1, due_at=NOW - timedelta(hours=1), epoch=1)
        released = {"state": "queued", "stage": "enrich", "epoch": 1}
        put_item(connection, 1, 5, **released, lease_until=NOW - timedelta(seconds=7) + lease)
        put_item(connection, 1, 6, **released, lease_until=NOW + lease)
        put_item(connection, 1, 7, state="running", epoch=1, lease_until=NOW - AGO)
        for position in range(8, 15):
            put_item(connection, 1, position)
        span = {"batch_id": 1, "first": 8, "last": 11, "released_at": NOW}
        connection.execute(insert(spans).values(**span, lease_until=NOW - timedelta(seconds=3) + lease))
        connection.execute(insert(unreleased).values(batch_id=1, first=12))
        put_delivery(connection, 1, "pending", due_at=NOW - timedelta(seconds=9))
        put_delivery(connection, 2, "pending", due_at=NOW - AGO, origin="https://b", url="https://b/")
        put_delivery(connection, 3, "sending", lease_until=NOW - AGO)
        put_delivery(connection, 4, "dead")
        put_delivery(connection, 5, "paused")
        put_delivery(connection, 6, "delivered")
        for origin, values in {
            "https://b": {"breaker": "open", "open_until": NOW + AGO},
            "https://c": {"breaker": "closed", "disabled_at": NOW, "disabled_reason": "gone"},
            "https://d": {"breaker": "closed"},
        }.items():
            connection.execute(insert(endpoints).values(origin=origin, updated_at=NOW, **values))
        for name in ("dispatch", "worker:classify:a", "worker:classify:b", "queue:classify"):
            leases.acquire(connection, name, "h", now=NOW, until=NOW + AGO)
        leases.acquire(connection, "worker:classify:c", "h", now=NOW - 2 * AGO, until=NOW - AGO)
        for key, state in (("a", "firing"), ("b", "resolved")):
            row = {"public_id": key, "name": "n", "key": key, "severity": "error", "state": state, "value": "{}"}
            connection.execute(insert(alerts).values(**row, summary="", opened_at=NOW))
        totals.add(connection, {totals.SUBMITTED_ITEMS: 100, totals.EVENTS: 101})


def flat(context: Context) -> dict[tuple[str, *tuple[str, ...]], float]:
    return {(family.name, *labels): value for family, of in read_all(context).items() for labels, value in of.items()}


def test_each_number_is_that_of_the_rows(context: Context) -> None:
    fill(context)
    found = flat(context)
    build = next(key for key in found if key[0] == "pipeline_build_info")
    del found[build]
    assert found == {
        ("pipeline_items", "mail", "pending"): 7 + 8,
        ("pipeline_items", "mail", "queued"): 6,
        ("pipeline_items", "mail", "running"): 1,
        ("pipeline_items", "mail", "dead"): 2,
        ("pipeline_items", "old", "dead"): 5,
        ("pipeline_batches", "accepting"): 1,
        ("pipeline_batches", "running"): 1,
        ("pipeline_batches", "paused"): 1,
        ("pipeline_batch_deadline_missed",): 1,
        ("pipeline_due_age_seconds", "fresh"): 40,
        ("pipeline_due_age_seconds", "retry"): 20,
        ("pipeline_released_age_seconds", "classify"): 3,
        ("pipeline_released_age_seconds", "enrich"): 7,
        ("pipeline_overdue", "items"): 1,
        ("pipeline_overdue", "deliveries"): 1,
        ("pipeline_suspects",): 1,
        ("pipeline_submitted_items_total",): 100 + 34,
        ("pipeline_events_total",): 101 + 12,
        ("pipeline_deliveries", "pending"): 2,
        ("pipeline_deliveries", "sending"): 1,
        ("pipeline_deliveries", "dead"): 1,
        ("pipeline_deliveries", "paused"): 1,
        ("pipeline_delivery_due_age_seconds",): 9,
        ("pipeline_endpoints", "closed"): 1,
        ("pipeline_endpoints", "open"): 1,
        ("pipeline_endpoints", "half_open"): 0,
        ("pipeline_endpoints", "disabled"): 1,
        ("pipeline_dispatcher_up",): 1,
        ("pipeline_workers",): 2,
        ("pipeline_alerts", "info"): 0,
        ("pipeline_alerts", "warning"): 0,
        ("pipeline_alerts", "error"): 1,
        ("pipeline_alerts", "critical"): 0,
    }


@on_sqlite
def test_a_clock_that_is_set_back_makes_no_age_negative(context: Context) -> None:
    fill(context)
    earlier = replace(context, now=lambda: NOW - timedelta(hours=1))
    assert min(value for value in flat(earlier).values()) >= 0


@on_sqlite
def test_every_family_is_read_and_none_else(context: Context) -> None:
    fill(context)
    assert set(read_all(context)) == set(families.SQL_FAMILIES)


@on_sqlite
def test_states_of_a_definition_are_shown_while_it_has_open_batches_or_dead_items(context: Context) -> None:
    fill(context)
    with context.database.write() as connection:
        connection.execute(update(batches).values(state="completed", completed_at=NOW, total=0, dead=0))
        connection.execute(delete(items))
        connection.execute(delete(spans))
        put_batch(connection, 9, 2, total=0)
    shown = {key[1:]: value for key, value in flat(context).items() if key[0] == "pipeline_items"}
    assert shown == {("old", state): 0 for state in ("pending", "queued", "running", "dead")}


@on_sqlite
def test_users_names_are_bounded(context: Context) -> None:
    with context.database.write() as connection:
        for number in range(1, 61):
            put_definition(connection, number, f"definition {number:03}")
            put_batch(connection, number, number, total=1)
    shown = {key[1:]: value for key, value in flat(context).items() if key[0] == "pipeline_items"}
    assert len(shown) == 51 * 4
    assert shown["other", "pending"] == 10
    assert sum(shown.values()) == 60


def test_no_statement_reads_a_whole_table(context: Context) -> None:
    fill(context)
    with statements(context.database) as seen:
        read_all(context)
        wanted_for(context, Stage.CLASSIFY)
    assert len(seen) > 15
    assert scans_of(context.database, seen) == []


@on_sqlite
def test_pruning_lowers_no_counter(database_url: str, tmp_path: Path) -> None:
    with pipeline.connect(database_url=database_url) as client:
        for _ in range(2):
            client.submit(make_items(30), make_definition(tmp_path)).wait(60)
        context = client_context(client)
        before = flat(context)
        assert prune(context, context.now() + timedelta(days=1)).batches == 2
        after = flat(context)
    for name in ("pipeline_submitted_items_total", "pipeline_events_total"):
        assert after[(name,)] == before[(name,)]
    assert before["pipeline_submitted_items_total",] == 60
    with context.database.read() as connection:
        assert connection.execute(select(batches.c.id)).all() == []


class Clock:
    """A clock that stands still until it is moved."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def counted(calls: list[int], fails: Callable[[], bool] = lambda: False) -> collect.Source:
    def source(connection: Connection, moment: CollectMoment) -> list[tuple[Family, Labels, float]]:
        calls.append(1)
        if fails():
            raise Unreachable("the database is away")
        return [(families.SUSPECTS, (), len(calls))]

    return source


@on_sqlite
def test_the_database_is_read_at_most_every_five_seconds_however_many_ask(context: Context) -> None:
    calls: list[int] = []
    clock = Clock()
    collector = Collector(context, [counted(calls)], seconds=clock)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: collector.collect(), range(16)))
    assert len(calls) == 1
    assert [each.values[families.SUSPECTS] for each in found] == [{(): 1.0}] * 16
    clock.now += 4.9
    shown = collector.collect().values
    assert (shown[families.COLLECT_AGE][()], len(calls)) == (pytest.approx(4.9), 1)
    clock.now += 0.1
    assert collector.collect().values[families.SUSPECTS] == {(): 2.0}
    collector.close()


@on_sqlite
def test_after_a_failed_reading_nothing_old_is_shown(context: Context) -> None:
    calls: list[int] = []
    clock = Clock()
    collector = Collector(context, [counted(calls, lambda: len(calls) == 2)], seconds=clock)
    assert collector.collect().is_success
    clock.now += 6
    failed = collector.collect()
    assert not failed.is_success
    assert set(failed.values) == {families.COLLECT_SUCCESS, families.COLLECT_SECONDS}
    assert failed.values[families.COLLECT_SUCCESS] == {(): 0}
    clock.now += 6
    assert collector.collect().is_success
    collector.close()


@on_sqlite
def test_nobody_waits_for_a_database_that_hangs(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "PATIENCE_SECONDS", 0.01)
    answers = threading.Event()

    def source(connection: Connection, moment: CollectMoment) -> list[tuple[Family, Labels, float]]:
        answers.wait(60)
        return []

    collector = Collector(context, [source])
    try:
        assert collector.collect().values == {families.COLLECT_SUCCESS: {(): 0}}
    finally:
        answers.set()
        collector.close()


@on_postgresql
def test_postgresql_cuts_a_slow_statement(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    _assert_cut(context, "SELECT pg_sleep(60)", monkeypatch)


_COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@on_sqlite
def test_sqlite_is_interrupted_too(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    _assert_cut(context, _COUNT, monkeypatch)
    # And nothing else on the same connection.
    assert read_all(context)


def _assert_cut(context: Context, slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def source(connection: Connection, moment: CollectMoment) -> list[tuple[Family, Labels, float]]:
        connection.exec_driver_sql(slow)
        return []

    monkeypatch.setattr(collect, "STATEMENT_SECONDS", 0.05)
    collector = Collector(context, [source])
    assert not collector.collect().is_success
    collector.close()


def test_a_queue_wants_workers_for_what_is_in_flight_and_due(context: Context) -> None:
    fill(context)
    assert wanted_for(context, Stage.CLASSIFY).reason.startswith("5 in flight, 13 due, 256 at once in a process, 1 s")
    assert wanted_for(context, Stage.ENRICH).reason.startswith("2 in flight, 0 due")
    with context.database.write() as connection:
        totals.follow(connection, totals.ATTEMPT_MICROSECONDS + "classify", 5_000_000)
        totals.follow(connection, totals.ATTEMPT_MICROSECONDS + "classify", 15_000_000)
    assert " 6 s an item; " in wanted_for(context, Stage.CLASSIFY).reason


@on_sqlite
def test_a_queue_wants_nothing_when_nothing_is_left_and_something_when_an_item_is_due_soon(context: Context) -> None:
    assert wanted_for(context, Stage.CLASSIFY).wanted == 0
    with context.database.write() as connection:
        put_definition(connection, 1, "mail")
        put_batch(connection, 1, total=1)
        put_item(connection, 1, 1, due_at=NOW + timedelta(seconds=50), epoch=1)
    assert wanted_for(context, Stage.CLASSIFY).wanted == 1
    with context.database.write() as connection:
        connection.execute(update(batches).values(state="paused"))
    assert wanted_for(context, Stage.CLASSIFY).wanted == 0
