"""No statement on the way of an item reads a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select

import pipeline
from pipeline.batches.sql import spans, throughput
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.database.tables import POSITIONS_PER_BATCH, batches
from pipeline.definitions import Definition
from pipeline.delivery import endpoints
from pipeline.delivery.deliveries import recover, replay_missing
from pipeline.delivery.give_up import expire
from pipeline.delivery.sql import bundles, give_up, redeliver
from pipeline.delivery.sql.redeliver import Selection
from pipeline.execution.sql import releases, span_releases
from pipeline.execution.sql.releases import Ref
from pipeline.retention.prune import prunable, prune
from tests.support.factories import client_context, make_definition, make_items
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.configured import configure
from tests.support.receivers.scripted import Scripted, answer
from tests.support.servers.fixtures import on_postgresql
from tests.support.servers.worker import wait_for

LARGE = ("items", "events", "deliveries", "attempts")


#: Partial indexes that hold no more than what is in flight, waits, is dead or suspected: these may be read whole.
SMALL = (
    "ix_items_due",
    "ix_items_in_flight",
    "ix_items_suspects",
    "ix_items_dead",
    "ix_deliveries_due",
    "ix_deliveries_sending",
    "ix_deliveries_lane",
    "ix_deliveries_stopped",
)


def is_scan(step: str) -> bool:
    """Say whether a step of SQLite's plan reads a large table from one end to the other."""
    return any(step == f"SCAN {table}" for table in LARGE)


def scans_on_sqlite(connection: Connection, statement: str, parameters: Any) -> list[str]:
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    return [row[3] for row in plan if is_scan(row[3])]


def scans_on_postgresql(connection: Connection, statement: str, parameters: Any) -> list[str]:
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    return [
        f"{node['Node Type']} on {node['Relation Name']}"
        for node in nodes_of(plan["Plan"])
        if node.get("Relation Name") in LARGE
        and "Scan" in node["Node Type"]
        and "Index Cond" not in node
        and (node.get("Index Name") not in SMALL or names_its_rows(statement))
    ]


def names_its_rows(statement: str) -> bool:
    """Say whether a statement is handed ids: to read all that is in flight for them, or for each, is much too much."""
    return "json_to_recordset" in statement or "= ANY(CAST(" in statement


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes_of(child)


def fill(connection: Connection) -> None:
    """Make tables large beside what is in motion, and tell the planner."""
    numbers = "generate_series(1000000, 1030000) n"
    columns = "batch_id, position, payload, stage, state, created_at, finished_at"
    connection.exec_driver_sql(
        f"INSERT INTO items (id, {columns}) SELECT 4294967296 + n, 1, n, '{{}}', 'enrich', 'succeeded', now(), now() "
        f"FROM {numbers}"
    )
    connection.exec_driver_sql(
        "INSERT INTO events (batch_id, seq, type, item_id, body, created_at) "
        f"SELECT 1, n, 'item.completed', 4294967296 + n, '', now() FROM {numbers}"
    )
    connection.exec_driver_sql(
        "INSERT INTO deliveries (batch_id, seq, url, origin, state, due_at, created_at) "
        f"SELECT 1, n, 'http://a/', 'http://a', 'delivered', now(), now() FROM {numbers}"
    )
    connection.exec_driver_sql("ANALYZE")


FAILING = """
from pipeline import Permanent
def classify(item):
    if item.text.endswith("7"):
        raise Permanent("seven")
    if item.text.endswith("3") and item.attempt == 1:
        raise RuntimeError("once")
    return "x"
async def enrich(item):
    return {}
"""


@on_postgresql
def test_a_statement_without_an_index_is_found(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO definitions VALUES (1, 'd', 'v', '{}', 'classify', now())")
        connection.exec_driver_sql(
            "INSERT INTO batches (id, public_id, definition_id, state, total, fair_key, created_at) "
            "VALUES (1, 'b', 1, 'running', 1, '', now())"
        )
        fill(connection)
        assert scans_on_postgresql(connection, "SELECT 1 FROM items WHERE label = 'x'", {}) != []
        assert scans_on_postgresql(connection, "SELECT 1 FROM items WHERE id = 7", {}) == []


def look_after(context: Context, url: str) -> None:
    """Do what people and sweeps do with an endpoint."""
    endpoints.disable(context, url)
    endpoints.enable(context, url)
    endpoints.show(context, url)
    endpoints.every(context)
    expire(context.database, endpoints.show(context, url).origin, None, context.now())


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "endpoint",
    [{}, {"coalesce_items": 20, "coalesce_ms": 5}, {"ordering": "batch", "max_block_seconds": 1}],
    ids=["plain", "coalescing", "ordered"],
)
def test_every_statement_of_a_run_finds_its_rows_by_an_index(
    endpoint: dict[str, Any], database_url: str, tmp_path: Path
) -> None:
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8", "database_url": database_url}
    refusing = answer(400, "webhook-delivery: abort-message")
    with Receiver() as receiver, Scripted(refusing) as refuser, pipeline.connect(**settings) as client:
        context = client_context(client)
        if endpoint:
            configure(context.database, receiver.url.removesuffix("/hook"), **endpoint)
        definition = make_definition(tmp_path, FAILING)
        # In order, each waits for the one before.
        count = 100 if "ordering" in endpoint else 500
        with statements(context.database) as seen:
            do_everything(client, definition, count, receiver, refuser)
        give_up_all(context.database)
        with statements(context.database, seen):
            # What is being sent just now is waited for.
            wait_for(lambda: prune_now(context) == 2)
        scans = scans_of(context.database, seen)
    assert len(seen) > 30
    assert scans == []


@contextmanager
def statements(database: Database, seen: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Collect the statements that run inside, each with the parameters that it had first."""
    seen = {} if seen is None else seen

    def remember(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")):
            seen.setdefault(statement, parameters[0] if many else parameters)

    event.listen(database.engine, "before_cursor_execute", remember)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", remember)


def do_everything(
    client: pipeline.Client, definition: Definition, count: int, receiver: Receiver, refuser: Scripted
) -> None:
    """Do with batches and endpoints what people do."""
    context = client_context(client)
    endpoints.configure(context, receiver.url, rate=10_000)
    batch = client.submit(
        make_items(count),
        definition,
        callback_url=receiver.url,
        batch_callback_url=refuser.url,
        fallback_url=f"{receiver.url}/fallback",
        idempotency_key="k",
    )
    batch.pause()
    batch.resume()
    list(batch.results(follow=True))
    receiver.wait_for(lambda r: number_of_items(r) == count + 1)
    look_after(context, refuser.url)
    batch.replay_dead()
    batch.wait(30)
    batch.labels()
    client.submit(make_items(2_000), definition).cancel()
    recover(context, batch="last", origin=receiver.url)
    replay_missing(context, receiver.url, "last")
    prunable(context, context.now())


def scans_of(database: Database, seen: dict[str, Any]) -> list[str]:
    """Return the scans of statements, with their texts."""
    if not database.is_sqlite:
        with database.write() as connection:
            fill(connection)
    find = scans_on_sqlite if database.is_sqlite else scans_on_postgresql
    with database.write() as connection:
        return [
            f"{scan}: {' '.join(statement.split())}"
            for statement, parameters in seen.items()
            for scan in find(connection, statement, parameters)
        ]


def fill_unknown(connection: Connection, number: int) -> None:
    """Give up a batch of callbacks, of which the planner knows nothing: tables are analyzed later than they grow."""
    connection.exec_driver_sql("ALTER TABLE deliveries SET (autovacuum_enabled = false)")
    # Pages of deleted rows would have it believe that there will be none.
    connection.exec_driver_sql("TRUNCATE deliveries")
    connection.exec_driver_sql("ANALYZE deliveries")
    numbers = f"generate_series(1, {number}) n"
    connection.exec_driver_sql("INSERT INTO definitions VALUES (1, 'd', 'v', '{}', 'classify', now())")
    connection.exec_driver_sql(
        "INSERT INTO batches (id, public_id, definition_id, state, total, fair_key, created_at) "
        f"VALUES (1, 'b', 1, 'completed', {number}, '', now())"
    )
    connection.exec_driver_sql(
        "INSERT INTO events (batch_id, seq, type, item_id, body, created_at) "
        f"SELECT 1, n, 'item.completed', 4294967296 + n, '', now() FROM {numbers}"
    )
    connection.exec_driver_sql(
        "INSERT INTO bundles (id, webhook_id, url, origin, created_at) "
        f"SELECT n, 'msg_' || n, 'http://a/', 'http://a', now() FROM generate_series(0, {number} / 20) n"
    )
    connection.exec_driver_sql(
        "INSERT INTO deliveries (batch_id, seq, url, origin, state, due_at, created_at, bundle_id) "
        f"SELECT 1, n, 'http://a/', 'http://a', 'dead', now(), now(), n / 20 FROM {numbers}"
    )


def passed_over(connection: Connection, statement: str, parameters: Any) -> int:
    """Run a statement, and return how many rows it read in vain."""
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    nodes = list(nodes_of(plan["Plan"]))
    return int(sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in nodes))


@on_postgresql
@pytest.mark.parametrize(
    "chosen",
    [Selection(("dead",)), Selection(("dead",), origin="http://a"), Selection(("dead",), batch_id=1)],
    ids=["all", "endpoint", "batch"],
)
def test_what_is_done_span_by_span_reads_no_other_span(chosen: Selection, database: Database) -> None:
    number, low, high = 20_000, 5_000, 6_000
    seen: list[tuple[str, Any]] = []

    def remember(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    with database.write() as connection:
        fill_unknown(connection, number)
        event.listen(connection, "before_cursor_execute", remember)
        give_up.find_with_fallback(connection, range(1, 500))
        assert redeliver.count_selected(connection, chosen, low, high) == high - low
        assert redeliver.make_pending(connection, chosen, low, high, datetime.now(UTC)) == high - low
        assert len(bundles.read_members(connection, range(20, 30), "w")) == 200
        event.remove(connection, "before_cursor_execute", remember)
        read = {statement: passed_over(connection, statement, parameters) for statement, parameters in seen}
    # What has been made pending by now, and is looked at again.
    assert {statement: rows for statement, rows in read.items() if rows > 2 * (high - low)} == {}


@on_postgresql
def test_what_is_asked_of_a_span_reads_no_items_of_others(database: Database) -> None:
    seen: list[tuple[str, Any]] = []

    def remember(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    now = datetime.now(UTC)
    with database.write() as connection:
        fill_fresh(connection, 20_000)
        event.listen(connection, "before_cursor_execute", remember)
        assert [span.unclaimed for span in spans.find_live(connection)] == [100, 100]
        refs = [Ref(POSITIONS_PER_BATCH + position, 1) for position in range(150, 160)]
        claimed = releases.claim(connection, "classify", refs, now=now, lease_until=now, worker="w")
        assert len(claimed) == 10
        assert releases.has_unclaimed(connection, ["classify"], now)
        assert throughput.find_work_since(connection, 1, now) is not None
        assert span_releases.find_positions(connection, 1, 5_000, 100) == list(range(5_000, 5_100))
        assert spans.take_back(connection, spans.of_batch(1), now) == 190
        event.remove(connection, "before_cursor_execute", remember)
        read = {statement: items_read(connection, statement, parameters) for statement, parameters in seen}
    assert {statement: rows for statement, rows in read.items() if rows > 400} == {}


def fill_fresh(connection: Connection, number: int) -> None:
    """Accept a batch of which 200 items are released in two spans, and tell the planner that there is nothing."""
    for table in ("items", "spans"):
        connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        connection.exec_driver_sql(f"ANALYZE {table}")
    connection.exec_driver_sql("INSERT INTO definitions VALUES (1, 'd', 'v', '{}', 'classify', now())")
    connection.exec_driver_sql(
        "INSERT INTO batches (id, public_id, definition_id, state, total, fair_key, created_at, started_at) "
        f"VALUES (1, 'b', 1, 'running', {number}, '', now(), now())"
    )
    connection.exec_driver_sql(
        "INSERT INTO items (id, batch_id, position, payload, stage, state, created_at) "
        "SELECT 4294967296 + n, 1, n, '{}', 'classify', 'pending', now() "
        f"FROM generate_series(1, {number}) n"
    )
    connection.exec_driver_sql(
        "INSERT INTO spans (batch_id, first, last, released_at, lease_until) "
        "SELECT 1, n, n + 99, now(), now() - interval '1 minute' FROM generate_series(101, 201, 100) n"
    )


def items_read(connection: Connection, statement: str, parameters: Any) -> int:
    """Run a statement, and return how many rows of items it reads, those that it passes over included."""
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    of_items = [node for node in nodes_of(plan["Plan"]) if node.get("Relation Name") == "items"]
    return int(
        sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in of_items)
    )


def give_up_all(database: Database) -> None:
    """Wait for no callback any more."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET state = 'dead' WHERE state IN ('pending', 'paused')")


def prune_now(context: Context) -> int:
    """Prune all that is complete. Return how many batches are not there any more."""
    prune(context, context.now())
    with context.database.read() as connection:
        return 2 - int(connection.scalar(select(func.count()).select_from(batches)) or 0)


def number_of_items(receiver: Receiver) -> int:
    data = (each["data"] for each in receiver.events())
    return sum(len(each) if isinstance(each, list) else 1 for each in data)
