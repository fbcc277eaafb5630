"""Migrations and `tables.metadata` are two descriptions of one schema."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select

import migrations
from pipeline.storage.engine import Database
from pipeline.storage.schema import HEAD, known_versions
from pipeline.storage.tables import metadata
from tests.services.fixtures import on_postgresql

SCRIPTS = ScriptDirectory(str(Path(migrations.__file__).parent))


# SQLite tells no expressions of an index; the next test compares its text.
@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrations_from_empty_give_the_tables(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_from_empty_give_every_index(database: Database) -> None:
    migrated = _indexes(database)
    with database.write() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert _indexes(database) == migrated


@on_postgresql
def test_migrations_say_the_same_as_the_tables_on_postgresql(database: Database) -> None:
    migrated = _catalog(database)
    assert len(migrated) > 100
    with database.write() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert _catalog(database) == migrated


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


def _indexes(database: Database) -> set[tuple[str, str]]:
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
        if database.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    with database.read() as connection:
        return {(name, sql) for name, sql in connection.exec_driver_sql(query)}


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
