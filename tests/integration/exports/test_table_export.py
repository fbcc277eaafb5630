"""Exports to a table: each result once whatever is killed, the newest by key, and what a table refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.domain.item import ItemState
from pipeline.domain.urls.export_target import parse_export_target
from pipeline.exports import table_export
from pipeline.exports.exports import retry
from pipeline.exports.run_exports import ExportRunner
from pipeline.exports.targets import result_table
from pipeline.exports.targets.result_table import ResultTable, make_ddl
from tests.support.clock import Clock
from tests.support.exporting import export_of, finish_items, problems_of, start_batch, work
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.postgres import Postgres

pytestmark = on_sqlite


class Warehouse:
    """A database with the tables of a target."""

    def __init__(self, url: str, port: int) -> None:
        self.url = url
        self.target = f"postgresql://127.0.0.1:{port}/{url.rpartition('/')[2]}/public.results"

    def create(self, mode: str = "append") -> str:
        """Create the tables for a mode, and return the target."""
        target = f"{self.target}?mode={mode}"
        self.run(make_ddl(parse_export_target(target)))
        return target

    def run(self, statement: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def warehouse(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    monkeypatch.setenv("PGUSER", "pipeline")
    monkeypatch.setattr(table_export, "CHUNK_ROWS", 4)
    name = "warehouse"
    postgres.run(f"CREATE DATABASE {name}")
    yield Warehouse(postgres.url_of(name), postgres.port)
    postgres.drop(postgres.url_of(name))


def test_rows_have_the_columns_of_a_result_and_a_replay_adds_rows(context: Context, warehouse: Warehouse) -> None:
    batch = start_batch(context, 10, warehouse.create())
    finish_items(context, batch, range(1, 10))
    finish_items(context, batch, [10], state="dead")
    work(context)
    export = export_of(context, batch)
    assert (export["state"], export["rows"], export["last_error"]) == ("complete", 10, None)
    rows = warehouse.run(
        "SELECT seq, key, state, label, classification, error_message, finished_at FROM results ORDER BY 1"
    )
    assert [row[0] for row in rows] == [*range(1, 11)]
    assert rows[0][1:] == ("K-1", "succeeded", "billing", {"label": "x"}, None, context.now())
    assert rows[9][1:6] == ("K-10", "dead", None, None, "no")
    with context.database.write() as connection:
        batches.reopen(connection, batch, 1, ItemState.DEAD)
    finish_items(context, batch, [10])
    work(context)
    assert export_of(context, batch)["completions"] == 2
    assert warehouse.run("SELECT count(*) FROM results") == [(11,)]
    assert problems_of(context, batch) == []


def test_upsert_keeps_the_newest_result_of_each_key(context: Context, clock: Clock, warehouse: Warehouse) -> None:
    target = warehouse.create("upsert")
    newer = start_batch(context, 2, target)
    older = start_batch(context, 3, target)
    finish_items(context, older, [1, 2, 3], label="old")
    clock.forward(60)
    finish_items(context, newer, [1, 2], label="new")
    work(context)
    rows = warehouse.run("SELECT key, label FROM results ORDER BY 1")
    assert rows == [("K-1", "new"), ("K-2", "new"), ("K-3", "old")]


class Killed(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("at_call", [1, 2, 3])
@pytest.mark.parametrize("is_committed", [True, False])
def test_a_kill_around_a_commit_there_writes_each_result_once(
    context: Context,
    clock: Clock,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    at_call: int,
    is_committed: bool,
) -> None:
    batch = start_batch(context, 10, warehouse.create())
    finish_items(context, batch, range(1, 11))
    original, calls = ResultTable.add, 0

    def add(self: ResultTable, *given: Any, **named: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == at_call and not is_committed:
            raise Killed
        found = original(self, *given, **named)
        if calls == at_call:
            raise Killed
        return found

    runner = ExportRunner(context, batch_id=None, is_stopped=lambda: False)
    with monkeypatch.context() as patch:
        patch.setattr(ResultTable, "add", add)
        with pytest.raises(Killed):
            runner.run(runner.find_work()[0])
    clock.forward(31)
    work(context)
    assert warehouse.run("SELECT count(*), count(DISTINCT seq) FROM results") == [(10, 10)]
    export = export_of(context, batch)
    assert (export["state"], export["rows"]) == ("complete", 10)
    assert problems_of(context, batch) == []


def test_a_row_that_the_table_refuses_fails_the_export_with_its_seq_after_all_before_it(
    context: Context, warehouse: Warehouse
) -> None:
    batch = start_batch(context, 9, warehouse.create())
    finish_items(context, batch, range(1, 10))
    warehouse.run("ALTER TABLE results ADD CHECK (key <> 'K-7')")
    work(context)
    export = export_of(context, batch)
    assert export["state"] == "failed"
    assert "refuses the result with seq 7 " in export["last_error"]
    assert "23514" in export["last_error"]
    assert "billing" not in export["last_error"]
    assert warehouse.run("SELECT max(seq) FROM results") == [(6,)]
    warehouse.run("ALTER TABLE results DROP CONSTRAINT results_key_check")
    retry(context, str(export["id"]))
    work(context)
    assert export_of(context, batch)["state"] == "complete"
    assert problems_of(context, batch) == []


def test_a_missing_table_fails_the_export_and_says_how_to_create_it(context: Context, warehouse: Warehouse) -> None:
    batch = start_batch(context, 1, warehouse.target)
    finish_items(context, batch, [1])
    work(context)
    export = export_of(context, batch)
    assert export["state"] == "failed"
    assert f"pipeline exports ddl '{warehouse.target}'" in export["last_error"]


def test_a_locked_table_and_a_server_that_is_down_put_the_export_off(
    context: Context, clock: Clock, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_table, "STATEMENT_SECONDS", 1)
    batch = start_batch(context, 1, warehouse.create())
    gone = start_batch(context, 1, "postgresql://127.0.0.1:1/db/public.t")
    for each in (batch, gone):
        finish_items(context, each, [1])
    with psycopg.connect(warehouse.url) as holder:
        holder.execute("LOCK TABLE results IN ACCESS EXCLUSIVE MODE")
        work(context)
        assert "57014" in export_of(context, batch)["last_error"]
        assert "does not answer" in export_of(context, gone)["last_error"]
        assert [export_of(context, each)["state"] for each in (batch, gone)] == ["running", "running"]
    clock.forward(60)
    work(context)
    assert export_of(context, batch)["state"] == "complete"


def test_verification_finds_rows_that_are_gone(context: Context, warehouse: Warehouse) -> None:
    batch = start_batch(context, 3, warehouse.create())
    finish_items(context, batch, [1, 2, 3])
    work(context)
    warehouse.run("DELETE FROM results WHERE seq = 2")
    assert problems_of(context, batch) == ["the table has 2 results of the batch, expected 3"]
