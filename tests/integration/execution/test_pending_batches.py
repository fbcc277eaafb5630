"""What batches want is told at a cost that does not grow with what is pending."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, event

from pipeline.database.engine import Database
from pipeline.execution.sql import pending_batches
from tests.support.servers.fixtures import on_postgresql

PENDING = 20_000


@on_postgresql
@pytest.mark.parametrize("due_at", ["NULL", "now() + interval '1 hour'"], ids=["fresh", "later"])
def test_no_more_is_read_than_tells_that_something_is_pending(due_at: str, database: Database) -> None:
    seen: list[tuple[str, Any]] = []

    def remember(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    with database.write() as connection:
        fill(connection, due_at)
        if due_at == "NULL":
            connection.exec_driver_sql("INSERT INTO unreleased VALUES (1, 1)")
        event.listen(connection, "before_cursor_execute", remember)
        (batch,) = pending_batches.find_pending(connection, datetime.now(UTC))
        event.remove(connection, "before_cursor_execute", remember)
        assert (batch.has_fresh, batch.next_due_at is None) == ((True, True) if due_at == "NULL" else (False, False))
        assert [rows_read(connection, *each) < 20 for each in seen] == [True]


def fill(connection: Connection, due_at: str) -> None:
    """Accept a batch after the planner was told that there is nothing, as it is after each large submission."""
    connection.exec_driver_sql("ALTER TABLE items SET (autovacuum_enabled = false)")
    connection.exec_driver_sql("ANALYZE items")
    connection.exec_driver_sql("INSERT INTO definitions VALUES (1, 'd', 'v', '{}', 'classify', now())")
    connection.exec_driver_sql(
        "INSERT INTO batches (id, public_id, definition_id, state, total, last_position, fair_key, created_at) "
        f"VALUES (1, 'b', 1, 'running', {PENDING}, {PENDING}, '', now())"
    )
    connection.exec_driver_sql(
        "INSERT INTO items (id, batch_id, position, payload, stage, state, created_at, due_at) "
        f"SELECT 4294967296 + n, 1, n, '{{}}', 'classify', 'pending', now(), {due_at} "
        f"FROM generate_series(1, {PENDING}) n"
    )


def rows_read(connection: Connection, statement: str, parameters: Any) -> int:
    """Run a statement, and return how many rows of items it reads."""
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    of_items = [node for node in nodes_of(plan["Plan"]) if node.get("Relation Name") == "items"]
    return int(sum(node["Actual Rows"] * node["Actual Loops"] for node in of_items))


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes_of(child)
