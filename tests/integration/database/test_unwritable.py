"""A database that is full, locked or read-only: what callers, logs and a run say."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import Engine, event

from pipeline.bootstrap import make_context
from pipeline.cli import main
from pipeline.cli.checks.database import check_database
from pipeline.cli.run.finish_batch import RunOptions
from pipeline.cli.run.process_batch import process_batch
from pipeline.cli.show.output import Messages
from pipeline.context import Context
from pipeline.database import leases, trouble
from pipeline.database.engine import Database
from pipeline.database.sqlite import database_file
from pipeline.errors import DatabaseFull, Unreachable
from pipeline.settings import load
from tests.support.servers.fixtures import on_postgresql
from tests.support.terminal import Terminal
from workers.engine.periodic import guarded


def page_limit(pages: int) -> Callable[[Any, Any], None]:
    """Return what lets SQLite say that the disk is full beyond this number of pages, as it does on a full disk."""

    def limit(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    return limit


def limit_pages(database: Database, pages: int) -> None:
    event.listen(database.engine, "connect", page_limit(pages))
    database.engine.dispose()


def fill(database: Database) -> None:
    """Write until there is no more room."""
    with database.write() as connection:
        for number in range(100_000):
            connection.exec_driver_sql("INSERT INTO leases VALUES (?, 'x', '2026')", (f"{number} {'x' * 4_000}",))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file as another program does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.fixture
def context(sqlite_url: str) -> Iterator[Context]:
    opened = make_context(load(database_url=sqlite_url))
    yield opened
    opened.database.close()


def test_a_full_disk_is_an_error_of_its_own_and_undoes_the_transaction(context: Context) -> None:
    limit_pages(context.database, 100)
    with pytest.raises(DatabaseFull, match=r"the disk of the database /.*pipeline\.db is full; make room on it"):
        fill(context.database)
    with context.database.read() as connection:
        assert leases.find_holders(connection) == []
    failure = context.database.recent_write_failure(60)
    assert isinstance(failure, DatabaseFull)
    assert failure.exit_code == 3
    limit_pages(context.database, 100_000)
    with context.database.write():
        pass
    assert context.database.recent_write_failure(60) is None


@on_postgresql
@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        ("53100", DatabaseFull, "is full"),
        ("25006", Unreachable, "name the primary"),
        ("55P03", Unreachable, "pg_stat_activity"),
        ("57014", Unreachable, "try again"),
        ("58030", Unreachable, "server's disk"),
    ],
)
def test_what_keeps_postgresql_from_writing_is_named_without_values(
    database: Database, state: str, kind: type[Unreachable], text: str
) -> None:
    raising = f"RAISE EXCEPTION 'it happened' USING ERRCODE = '{state}', DETAIL = 'a value'"
    with pytest.raises(kind, match=text) as raised, database.write() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN {raising}; END $$")
    assert "it happened" in str(raised.value)
    assert "a value" not in str(raised.value)


@on_postgresql
def test_a_server_that_is_read_only_says_so(database: Database) -> None:
    with pytest.raises(Unreachable, match="name the primary"), database.read() as connection:
        connection.exec_driver_sql("DELETE FROM leases")


def test_a_locked_file_is_unreachable_and_names_the_file_and_the_wait(sqlite_url: str) -> None:
    database = Database(sqlite_url, lock_seconds=0.1)
    path = database_file(database.url)
    assert path
    with locked(path):
        for _ in range(2):
            with pytest.raises(Unreachable, match=rf"{path} has been locked by another program for \d+ s"):
                leave_open(database)
        # Readers go on.
        with database.read() as connection:
            assert leases.find_holders(connection) == []
    leave_open(database)
    database.close()


def leave_open(database: Database) -> None:
    with database.write():
        pass


def test_trouble_is_reported_once_without_a_traceback(
    context: Context, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    limit_pages(context.database, 100)
    threads = [threading.Thread(target=lambda: guarded(lambda: fill(context.database))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    guarded(lambda: fill(context.database))
    (line,) = [record for record in caplog.records if record.name.startswith(("pipeline", "workers"))]
    assert line.levelno == logging.ERROR
    assert line.getMessage().startswith(f"database_full error='the disk of the database {tmp_path}/pipeline.db is full")
    assert not line.exc_info


def test_trouble_that_lasts_is_reported_once_a_minute() -> None:
    now = time.monotonic()
    seen = [("locked for 31 s", 0), ("locked for 61 s", 59), ("damaged", 59), ("locked for 91 s", 60), ("damaged", 61)]
    assert [trouble.is_due(kind, now + seconds) for kind, seconds in seen] == [True, False, True, True, False]


def test_a_run_gives_up_on_a_full_disk_loses_nothing_and_says_how_to_go_on(
    terminal: Terminal, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    terminal.write_definition()
    batch = terminal.run("submit", str(terminal.write_items(["an invoice"] * 200))).stdout.strip()
    with closing(sqlite3.connect("pipeline.db")) as file:
        (pages,) = file.execute("PRAGMA page_count").fetchone()
    options = RunOptions(output=None, callback_wait=0, as_json=False, messages=Messages(), give_up_seconds=0.2)
    limit = page_limit(pages)
    event.listen(Engine, "connect", limit)
    try:
        with click.Context(main), pytest.raises(DatabaseFull):
            process_batch(batch, options)
    finally:
        event.remove(Engine, "connect", limit)
    said = capsys.readouterr().err
    assert f"nothing is lost. To continue, run: pipeline run --batch {batch}" in said
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert terminal.run("run", "--batch", batch).exit_code == 0
    assert terminal.data("status", batch)["succeeded"] == 200


def test_doctor_names_a_lock_soon(sqlite_url: str, context: Context) -> None:
    settings = context.settings
    path = database_file(context.database.url)
    assert path
    with locked(path):
        checks = {check.name: check for check in check_database(settings, lock_seconds=0.1)}
    assert checks["writable"].verdict == "fail"
    assert f"{path} has been locked by another program" in checks["writable"].value
    assert "close that program" in checks["writable"].advice
