"""No statement on the way of an item reads a whole table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.factories import connect, make_definition, make_items
from tests.receiver import SECRET, Receiver

LARGE = ("items", "events", "deliveries", "attempts")


def is_scan(step: str, statement: str) -> bool:
    """Say whether a step of a plan reads a large table from one end to the other."""
    if statement.startswith("INSERT INTO batches"):
        # The plan names the check of children that SQLite makes only where a violation was deferred.
        return False
    return any(step == f"SCAN {table}" for table in LARGE)


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


@pytest.mark.timeout(120)
def test_every_statement_of_a_run_finds_its_rows_by_an_index(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def remember(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")):
            seen.setdefault(statement, parameters[0] if many else parameters)

    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}
    with Receiver() as receiver, connect(tmp_path, **settings) as client:
        engine = client.context.database.engine
        event.listen(engine, "before_cursor_execute", remember)
        definition = make_definition(tmp_path, FAILING)
        batch = client.submit(make_items(500), definition, callback_url=receiver.url, idempotency_key="k")
        batch.pause()
        batch.resume()
        list(batch.results(follow=True))
        receiver.wait_for(lambda r: len(r.bodies) == 500)
        batch.replay_dead()
        batch.wait(30)
        batch.labels()
        client.submit(make_items(2_000), definition).cancel()
        event.remove(engine, "before_cursor_execute", remember)
        scans = []
        with engine.connect() as connection:
            for statement, parameters in seen.items():
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                scans += [f"{row[3]}: {' '.join(statement.split())}" for row in plan if is_scan(row[3], statement)]
    assert len(seen) > 30
    assert scans == []
