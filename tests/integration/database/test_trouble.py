"""What a database that is away, slow or in the way does to those who use it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.database.clock import DatabaseClock
from pipeline.database.dialect import dialect_of
from pipeline.database.engine import Database
from pipeline.database.retry import retrying
from pipeline.database.schema import read_version, upgrade_schema
from pipeline.database.tables import deliveries, items, leases
from pipeline.delivery.sql import owe
from pipeline.errors import OutcomeUnknown, Unreachable
from pipeline.execution.sql import outcomes
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_postgresql
from tests.support.servers.postgres import Postgres


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def refusal(url: str) -> str:
    """Return what the error of a connection that fails says."""
    with opened(url) as database, pytest.raises(Unreachable) as refused, database.read():
        pass
    return str(refused.value)


def read_after(database: Database, happening: Callable[[], object]) -> None:
    """Let something happen in the middle of a transaction."""
    with database.write() as connection:
        happening()
        connection.execute(select(leases))


def test_a_connection_that_fails_says_why_and_where_without_the_password(postgres: Postgres) -> None:
    here = f"127.0.0.1:{postgres.port}"
    postgres.run("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
    assert 'database "nowhere" does not exist' in refusal(postgres.url_of("nowhere"))
    assert 'role "nobody" does not exist' in refusal(f"postgresql://nobody:hunter2@{here}/postgres")
    assert "too many connections" in refusal(f"postgresql://crowded@{here}/postgres")
    assert "Connection refused" in refusal("postgresql://a:hunter2@127.0.0.1:1/b?password=hunter2")
    assert "hunter2" not in refusal("postgresql://a:hunter2@127.0.0.1:1/b?password=hunter2")
    assert here in refusal(f"postgresql://nobody:hunter2@{here}/postgres")


def test_a_server_that_hangs_is_unreachable_in_time(postgres: Postgres) -> None:
    postgres.suspend()
    try:
        assert "timeout" in refusal(f"{postgres.url}?connect_timeout=2")
    finally:
        postgres.resume()


@on_postgresql
def test_a_connection_that_an_administrator_ends_is_unreachable(
    database: Database, database_url: str, postgres: Postgres
) -> None:
    with pytest.raises(Unreachable, match="terminating connection"):
        read_after(database, lambda: postgres.terminate(database_url))
    # The pool has thrown away what was ended.
    with database.read() as connection:
        assert connection.execute(select(leases)).all() == []


@on_postgresql
def test_a_connection_that_ends_in_mid_copy_is_unreachable(
    database: Database, database_url: str, postgres: Postgres
) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"name": "a", "holder": "b", "until": datetime.now(UTC)}
        postgres.terminate(database_url)
        for number in range(100_000):
            yield {"name": f"a{number}", "holder": "b", "until": datetime.now(UTC)}

    with pytest.raises(Unreachable, match="terminating connection|lost|closed"):
        copy_in(database, rows())
    with database.read() as connection:
        assert connection.execute(select(leases)).all() == []


def copy_in(database: Database, rows: Iterator[dict[str, Any]]) -> None:
    with database.write() as connection:
        dialect_of(connection).insert_rows(connection, leases, ("name", "holder", "until"), rows)  # type: ignore[arg-type]


def test_a_restart_in_mid_transaction_is_unreachable_and_the_next_transaction_works() -> None:
    with Postgres() as server, opened(server.database()) as database:
        with pytest.raises(Unreachable):
            read_after(database, server.restart)
        with database.read() as connection:
            assert connection.execute(select(leases)).all() == []


def test_a_crash_in_mid_transaction_is_waited_out() -> None:
    with Postgres() as server, opened(server.database()) as database, ThreadPoolExecutor(1) as threads:
        has_failed = threading.Event()

        def read() -> list[Any]:
            try:
                with database.write() as connection:
                    return list(connection.execute(select(leases)).all())
            except Unreachable:
                has_failed.set()
                raise

        assert read() == []
        server.kill()
        reading = threads.submit(retrying, read, patience=timedelta(seconds=60))
        assert has_failed.wait(30)
        server.start()
        assert reading.result(60) == []


def test_patience_ends_with_the_trouble_itself() -> None:
    calls = []

    def run() -> None:
        calls.append(1)
        raise Unreachable("away")

    with pytest.raises(Unreachable, match="away"):
        retrying(run, patience=timedelta(0))
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Unreachable, match="away"):
        retrying(run, patience=timedelta(hours=1), stopping=stopping)
    assert len(calls) == 2


@on_postgresql
def test_a_reader_sees_one_state_and_cannot_write(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(select(leases)).all() == []
        with database.write() as writer:
            writer.exec_driver_sql("INSERT INTO leases VALUES ('a', 'b', now())")
        assert connection.execute(select(leases)).all() == []
    with pytest.raises(Exception, match="read-only"), database.read() as connection:
        connection.exec_driver_sql("DELETE FROM leases")
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM leases")


@on_postgresql
def test_a_session_has_its_limits_and_speaks_utc(database: Database) -> None:
    names = ("timezone", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "application_name")
    with database.read() as connection:
        found = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
    assert found == ["UTC", "30s", "2min", "1min", "pipeline"]


@on_postgresql
def test_the_url_goes_before_the_defaults(database_url: str) -> None:
    url = f"{database_url}?application_name=mine&prepare_threshold=0"
    with opened(url) as database, database.read() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "mine"
        driver: Any = connection.connection.driver_connection
        assert driver.prepare_threshold is None


def test_instants_are_written_as_they_are_whatever_the_time_zone_of_the_session(database_url: str) -> None:
    options = "" if database_url.startswith("sqlite") else "?options=-ctimezone%3DAsia/Tokyo"
    at = datetime(2026, 3, 4, 5, 6, 7, 123_456, tzinfo=UTC)
    outcome = dict.fromkeys(outcomes.ERROR_COLUMNS) | {"id": 1, "epoch": 0, "due_at": at, "attempt": 1, "snoozes": 0}
    outcome |= {"stored_stage": "classify", "stage": "classify", "counted": 0}
    with opened(f"{database_url}{options}") as database, database.write() as connection:
        owe.add_deliveries(connection, 1, [{"seq": 1, "url": "http://a/", "origin": "http://a"}], at)
        row = {"id": 1, "batch_id": 1, "position": 1, "payload": "{}", "stage": "classify", "state": "running"}
        connection.execute(insert(items).values(**row, created_at=at))
        assert outcomes.put_off(connection, [outcome]) == {1}
        for column in (deliveries.c.due_at, items.c.due_at, items.c.created_at):
            assert connection.scalars(select(column).where(column == at)).all() == [at]


def test_upgrades_at_the_same_time_are_one_upgrade(postgres: Postgres) -> None:
    postgres.run("CREATE DATABASE raced")
    url = postgres.url_of("raced")

    def run(_number: int) -> None:
        with opened(url) as database:
            upgrade_schema(database)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
    with opened(url) as database:
        assert read_version(database).is_current
    postgres.drop(url)


def test_a_submission_goes_on_after_a_restart(tmp_path: Path) -> None:
    with Postgres() as server:
        context = make_context(load(database_url=server.database()))

        def interrupted() -> Iterator[dict[str, Any]]:
            yield from make_items(5_000)
            server.restart()
            yield from make_items(5_000)
            server.kill()
            server.start()

        assert submit(context, interrupted(), Submission(make_definition(tmp_path))).total == 10_000
        with context.database.read() as connection:
            positions = connection.scalars(select(items.c.position).order_by(items.c.id)).all()
        assert positions == list(range(1, 10_001))
        context.database.close()


def test_a_submission_whose_database_stays_away_says_what_is_known_of_it(tmp_path: Path) -> None:
    with Postgres() as server:
        context = make_context(load(database_url=server.database(), lease_seconds=1))

        def interrupted() -> Iterator[dict[str, Any]]:
            yield from make_items(5_000)
            server.stop()
            yield from make_items(5_000)

        with pytest.raises(Unreachable, match="nothing was accepted; submit it again"):
            submit(context, interrupted(), Submission(make_definition(tmp_path)))
        server.start()
        # All is stored; the answer to the last commit may be lost.
        with pytest.raises(
            OutcomeUnknown, match="it is unknown whether batch [0-9a-z]+ was accepted; when the database is back, run"
        ):
            submit(
                context,
                make_items(5_001),
                Submission(make_definition(tmp_path)),
                on_progress=lambda stored: server.stop() if stored > 5_000 else None,
            )
        context.database.close()


def test_every_micro_batch_that_may_run_has_a_connection(database_url: str) -> None:
    context = make_context(load(database_url=database_url, concurrency=20))
    with ExitStack() as held:
        for _ in range(16 + 20):
            # Raises where none is free.
            held.enter_context(context.database.read())
    context.database.close()


@on_postgresql
@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux counts the time that it sleeps")
def test_the_clock_goes_on_while_the_machine_sleeps(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = DatabaseClock(database)
    with monkeypatch.context() as asleep:
        # As Linux has it then.
        asleep.setattr(time, "monotonic", lambda: 0.0)
        assert len({clock() for _ in range(1_000)}) > 1


@on_postgresql
def test_a_row_that_stays_locked_is_trouble_not_the_end(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO leases VALUES ('a', 'b', now())")
    with database.write() as holder:
        holder.exec_driver_sql("SELECT * FROM leases FOR UPDATE")
        with pytest.raises(Unreachable, match="lock timeout"):
            delete_impatiently(database)


def delete_impatiently(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        connection.exec_driver_sql("DELETE FROM leases")
