"""Migrations and `tables.metadata` are two descriptions of one schema."""

from __future__ import annotations

import io
import re  # noqa: TID251 - constant patterns
from collections.abc import Iterable
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_mock_engine, inspect, select
from sqlalchemy.engine.interfaces import Dialect

import migrations
from pipeline.storage.engine import Database
from pipeline.storage.schema import HEAD, known_versions
from pipeline.storage.tables import metadata

SCRIPTS = ScriptDirectory(str(Path(migrations.__file__).parent))


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


def test_migrations_say_the_same_as_the_tables_on_postgresql() -> None:
    assert _statements(_migrated_ddl()) == _statements(_metadata_ddl())


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


def _migrated_ddl() -> str:
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written, "target_metadata": metadata}
    )
    with Operations.context(context):
        for version in known_versions():
            script = SCRIPTS.get_revision(version)
            assert script is not None
            script.module.upgrade()
    return written.getvalue()


def _metadata_ddl() -> str:
    written: list[str] = []
    dialect: list[Dialect] = []
    engine = create_mock_engine(
        "postgresql+psycopg://", lambda ddl, *_, **__: written.append(str(ddl.compile(dialect=dialect[0])))
    )
    dialect.append(engine.dialect)
    metadata.create_all(engine, checkfirst=False)
    return ";\n".join(written)


def _statements(ddl: str) -> set[tuple[str, ...]]:
    """Each statement as its sorted parts: the order of columns and constraints is free."""
    return {tuple(sorted(_parts(statement))) for statement in ddl.split(";\n") if statement.strip()}


def _parts(statement: str) -> Iterable[str]:
    return (" ".join(line.strip().rstrip(",").split()) for line in statement.splitlines() if line.strip())
