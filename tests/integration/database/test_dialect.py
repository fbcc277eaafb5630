"""What differs between the databases gives the same on both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, select, text

from pipeline.database.dialect import dialect_of
from pipeline.database.engine import Database
from pipeline.database.instant import Instant
from pipeline.database.json_rows import table_rows
from pipeline.database.tables import items, leases

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NAMES = ["a", "b'; --", 'ü"☕']


def test_rows_in_one_parameter_keep_their_order_types_and_instants(database: Database) -> None:
    kyoto = timezone(timedelta(hours=9))
    given = [
        {"id": 2**40, "label": "ü'\"☕", "confidence": 0.5, "due_at": AT, "size": 3},
        {"id": 1, "label": None, "confidence": None, "due_at": (AT + timedelta(microseconds=1)).astimezone(kyoto)},
    ]
    with database.read() as connection:
        dialect = dialect_of(connection)
        rows = table_rows(items, dialect, "id", "label", "confidence", "due_at", integers=("size",))
        found = connection.execute(select(rows), {"rows": dialect.encode_rows(given)}).all()
    assert [tuple(row) for row in found] == [
        (2**40, "ü'\"☕", 0.5, AT, 3),
        (1, None, None, AT + timedelta(microseconds=1), None),
    ]


def test_instants_of_rows_compare_with_stored_ones(database: Database) -> None:
    with database.write() as connection:
        dialect = dialect_of(connection)
        add_leases(connection)
        rows = table_rows(leases, dialect, "until")
        same = select(leases.c.name).where(leases.c.until == rows.c.until)
        parameters = {"rows": dialect.encode_rows([{"until": AT}])}
        assert sorted(connection.scalars(same, parameters)) == sorted(NAMES)


@pytest.mark.parametrize("names", [NAMES, NAMES[1:2], [], ["c"]], ids=len)
def test_a_list_in_one_parameter_is_the_same_as_each_of_it(database: Database, names: list[str]) -> None:
    with database.write() as connection:
        dialect = dialect_of(connection)
        add_leases(connection)
        parameters = {"names": dialect.encode_list(names)}
        built = select(leases.c.name).where(dialect.is_in_list(leases.c.name, "names"))
        written = text(f"SELECT name FROM leases WHERE {dialect.in_list_sql('name', 'names', 'text')}")
        expected = sorted(set(names) & set(NAMES))
        assert sorted(connection.scalars(built, parameters)) == expected
        assert sorted(connection.scalars(written, parameters)) == expected


def test_many_rows_are_inserted_with_the_columns_that_are_named(database: Database) -> None:
    with database.write() as connection:
        add_leases(connection)
        query = text("SELECT name, holder, until FROM leases ORDER BY name").columns(until=Instant)
        assert [tuple(row) for row in connection.execute(query)] == [(name, "me", AT) for name in sorted(NAMES)]


def test_a_row_lock_ends_a_select_on_both(database: Database) -> None:
    with database.write() as connection:
        add_leases(connection)
        lock = dialect_of(connection).row_lock_sql("FOR UPDATE SKIP LOCKED")
        assert len(connection.execute(text(f"SELECT name FROM leases ORDER BY name {lock}")).all()) == len(NAMES)


def test_every_connection_of_a_database_has_one_dialect(database: Database) -> None:
    with database.read() as one, database.read() as other:
        assert dialect_of(one) is dialect_of(other)


def add_leases(connection: Connection) -> None:
    rows = [{"name": name, "holder": "me", "until": AT, "colour": "red"} for name in NAMES]
    dialect_of(connection).insert_rows(connection, leases, ("name", "holder", "until"), rows)
