"""Migrations and `tables.metadata` are two descriptions of one schema."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text

import migrations
from pipeline.database.engine import Database
from pipeline.database.schema import HEAD, SchemaVersion, known_versions, read_version, upgrade_schema
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, metadata, unreleased
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from tests.support.servers.fixtures import on_postgresql, on_sqlite

AT = "2026-01-01 00:00:00.000000+00:00"
SCRIPTS = ScriptDirectory(str(Path(migrations.__file__).parent))


@pytest.fixture
def migrated(database: Database) -> Database:
    """A database that every migration went over. New ones are created from the tables instead."""
    with database.write() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
        _migrate(connection, "head")
    return database


# SQLite tells no expressions of an index; the next test compares its text.
@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrations_from_empty_give_the_tables(migrated: Database) -> None:
    with migrated.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_a_new_database_has_every_index_that_migrations_give(
    database: Database, request: pytest.FixtureRequest
) -> None:
    created = _indexes(database)
    assert created
    request.getfixturevalue("migrated")
    assert _indexes(database) == created


@on_postgresql
def test_a_new_database_is_what_migrations_give_on_postgresql(
    database: Database, request: pytest.FixtureRequest
) -> None:
    created = _catalog(database)
    assert len(created) > 100
    request.getfixturevalue("migrated")
    assert _catalog(database) == created


@on_sqlite
def test_a_new_database_is_what_migrations_give_on_sqlite(database: Database, request: pytest.FixtureRequest) -> None:
    created = _definitions(database)
    assert {"batches", "items", "alembic_version"} <= created.keys()
    request.getfixturevalue("migrated")
    assert _definitions(database) == created


def test_a_new_database_needs_no_upgrade(database: Database) -> None:
    assert read_version(database) == SchemaVersion(HEAD, HEAD)
    with database.write() as connection:
        before = connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
        # Alembic agrees: it finds nothing to do.
        _migrate(connection, "head")
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == before


def test_there_is_one_head_and_the_program_names_it() -> None:
    assert SCRIPTS.get_heads() == [HEAD]
    assert known_versions()[-1] == HEAD


def test_versions_are_four_digits_counted_from_one_and_name_their_files() -> None:
    assert known_versions() == [f"{number:04}" for number in range(1, len(known_versions()) + 1)]
    for script in SCRIPTS.walk_revisions():
        assert re.fullmatch(rf"{script.revision}_[a-z_]+\.py", Path(script.path).name)


def test_a_migration_imports_nothing_of_ours() -> None:
    for script in SCRIPTS.walk_revisions():
        text = Path(script.path).read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) (pipeline|workers)", text, re.MULTILINE), script.path


def test_an_empty_database_can_be_read_table_by_table(database: Database) -> None:
    with database.read() as connection:
        for table in metadata.sorted_tables:
            assert connection.execute(select(table)).all() == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_a_database_of_an_older_version_keeps_its_rows(tmp_path: Path) -> None:
    """Of SQLite: where a constraint goes, the table is copied."""
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    with database.write() as connection:
        _migrate(connection, "0004")
        at = "2026-01-01 00:00:00.000000"
        for statement in (
            f"INSERT INTO definitions VALUES (1, 'd', 'v', '{{}}', 'classify', '{at}')",
            "INSERT INTO batches (id, public_id, definition_id, state, total, fair_key, created_at, schedule) "
            f"VALUES (7, 'b', 1, 'completed', 1, '', '{at}', 'short')",
            "INSERT INTO items (id, batch_id, position, key, payload, stage, state, created_at) "
            f"VALUES ({7 * POSITIONS_PER_BATCH + 1}, 7, 1, 'k', '{{}}', 'enrich', 'dead', '{at}')",
            f"INSERT INTO events VALUES (7, 1, 'item.dead', {7 * POSITIONS_PER_BATCH + 1}, x'7b7d', '{at}')",
        ):
            connection.exec_driver_sql(statement)
        before = _rows(connection)
    upgrade_schema(database)
    with database.write() as connection:
        after = _rows(connection)
        # New columns are the last ones.
        assert [row[: len(old)] for row, old in zip(after, before, strict=True)] == before
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        connection.exec_driver_sql("DELETE FROM batches")
        again = "INSERT INTO batches (public_id, definition_id, state, total, fair_key, created_at) VALUES "
        connection.exec_driver_sql(f"{again} ('c', 1, 'running', 1, '', '{at}')")
        assert connection.exec_driver_sql("SELECT id FROM batches").scalar_one() == 8
    database.close()


def _migrate(connection: Connection, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, version)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    else:
        database = Database(request.getfixturevalue("postgresql_url"))
        with database.write() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
    yield database
    database.close()


#: Of batches before there were spans: state, completion, and the state and `due_at` of each item.
_BEFORE_SPANS = {
    1: ("running", None, ["succeeded", "queued", "pending due", "pending", "pending"]),
    2: ("running", None, ["queued", "running"]),
    3: ("paused", None, ["pending", "pending"]),
    4: ("cancelled", None, ["running", "pending"]),
    5: ("completed", AT, ["succeeded"]),
    6: ("accepting", None, ["pending"]),
}


def test_work_in_flight_goes_on_after_the_migration_to_spans(empty: Database) -> None:
    with empty.write() as connection:
        _migrate(connection, "0006")
        connection.exec_driver_sql(f"INSERT INTO definitions VALUES (1, 'd', 'v', '{{}}', 'classify', '{AT}')")
        for id_, (state, completed_at, states) in _BEFORE_SPANS.items():
            add = text(
                "INSERT INTO batches (id, public_id, definition_id, state, total, fair_key, created_at, completed_at) "
                f"VALUES ({id_}, 'b{id_}', 1, '{state}', {len(states)}, '', '{AT}', :completed_at)"
            )
            connection.execute(add, {"completed_at": completed_at})
            for position, item in enumerate(states, 1):
                name, _, due = item.partition(" ")
                epoch = 0 if item == "pending" else 1
                values = f"{id_ * POSITIONS_PER_BATCH + position}, {id_}, {position}, '{{}}', 'classify', '{name}'"
                add = text(
                    "INSERT INTO items (id, batch_id, position, payload, stage, state, epoch, created_at, due_at) "
                    f"VALUES ({values}, {epoch}, '{AT}', :due_at)"
                )
                connection.execute(add, {"due_at": AT if due else None})
    upgrade_schema(empty)
    with empty.write() as connection:
        rest = {id_: first for id_, first in connection.execute(select(unreleased.c.batch_id, unreleased.c.first))}
        assert rest == {1: 4, 3: 1}
        last = connection.execute(select(batches.c.id, batches.c.last_position).order_by(batches.c.id)).all()
        assert last == [(1, 5), (2, 2), (3, 2), (4, 2), (5, None), (6, None)]
        now = datetime.now(UTC)
        # Of the old messages, that of the queued item is claimed.
        old = [Ref(POSITIONS_PER_BATCH + position, 1) for position in (1, 2, 3)]
        claimed = releases.claim(connection, "classify", old, now=now, lease_until=now, worker="w")
        assert [row["position"] for row in claimed] == [2]


def _rows(connection: Connection) -> list[tuple[object, ...]]:
    return [
        tuple(row)
        for table in ("batches", "items", "events")
        for row in connection.execute(text(f"SELECT * FROM {table}"))
    ]


def _indexes(database: Database) -> set[tuple[str, str]]:
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
        if database.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    with database.read() as connection:
        return {(name, sql) for name, sql in connection.exec_driver_sql(query)}


def _definitions(database: Database) -> dict[str, tuple[set[tuple[object, ...]], set[str]]]:
    """The columns and constraints of each table of SQLite, where their order is free."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    found: dict[str, tuple[set[tuple[object, ...]], set[str]]] = {}
    with database.read() as connection:
        for name, sql in connection.exec_driver_sql(query):
            columns = connection.exec_driver_sql(f"PRAGMA table_xinfo({name})")
            # The first value is the position.
            found[name] = {tuple(column)[1:] for column in columns}, set(_CONSTRAINT.findall(sql))
    return found


_CONSTRAINT = re.compile(r"AUTOINCREMENT|CONSTRAINT \w+ (?:CHECK|UNIQUE|FOREIGN KEY).*\)")


def _catalog(database: Database) -> set[tuple[object, ...]]:
    """What PostgreSQL knows of each column, constraint and table, where the order of columns is free."""
    queries = (
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
        """,
        """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
        """,
        """
        SELECT relname, obj_description(oid), reloptions::text FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
        """,
    )
    with database.read() as connection:
        return {tuple(row) for query in queries for row in connection.exec_driver_sql(query)}
