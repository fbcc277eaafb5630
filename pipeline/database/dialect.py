"""What differs between SQLite and PostgreSQL, in one place.

A statement module asks the dialect of its connection for the parts that differ and reads the same for both databases.
A statement that depends on the dialect is built once for each, by a function under `functools.cache`.

Two differences live elsewhere: `instant.Instant` converts times where SQLAlchemy looks for it, and the modules `sqlite`
and `postgresql` open connections and transactions.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    String,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    type_coerce,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from pipeline.database.instant import instant_to_text

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

    Upsert = sqlite.Insert | postgresql.Insert

#: Anything to insert as one row: column names and values.
Values = Mapping[str, Any]

#: The parameter that holds the rows of a `json_table`.
ROWS = "rows"
#: Instructions of SQLite's machine between two looks at the clock: about a millisecond.
_PROGRESS_STEPS = 100_000
#: The name of a `json_table` inside a statement.
JSON_TABLE = "r"


class Dialect(ABC):
    """The SQL of one database."""

    #: What users call it.
    name: str
    #: Whether other transactions can hold row locks. SQLite has a single writer, so none can.
    has_row_locks: bool
    #: Whether a statement can update rows and join what it updated with other tables.
    has_updating_cte: bool

    @abstractmethod
    def upsert(self, table: Table) -> Upsert:
        """Return an INSERT that accepts ON CONFLICT."""

    @abstractmethod
    def insert_rows(self, connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Values]) -> None:
        """Insert many rows into the columns `names`. Other keys of the rows are ignored."""

    @abstractmethod
    def json_table(self, types: Mapping[str, TypeEngine[Any]]) -> FromClause:
        """Return the parameter `rows` as a table `r`, so that one statement can change a whole group of rows.

        Args:
            types: the columns of the table, in order.
        """

    @abstractmethod
    def encode_rows(self, rows: Iterable[Values]) -> str:
        """Return the value of the parameter `rows`. Its instants must be aware."""

    @abstractmethod
    def is_in_list(self, column: Column[Any], parameter: str) -> ColumnElement[bool]:
        """Return the condition that a column is among a list.

        The list is one parameter, so the statement stays the same, and prepared, however long the list is.
        """

    @abstractmethod
    def in_list_sql(self, column: str, parameter: str, type_: str) -> str:
        """Return the same condition for a statement written as text; `type_` is the column's type in PostgreSQL."""

    @abstractmethod
    def encode_list(self, values: Iterable[int] | Iterable[str]) -> object:
        """Return the value of a list parameter."""

    @abstractmethod
    def row_lock_sql(self, clause: str) -> str:
        """Return a row locking clause (`FOR UPDATE …`) to end a SELECT with, empty if there are no row locks."""

    @abstractmethod
    def lock_upgrade(self, connection: Connection, key: int) -> None:
        """Let one schema upgrade run at a time, without a time limit on its statements, until the transaction ends."""

    @abstractmethod
    def limit_statements(self, connection: Connection, seconds: float) -> AbstractContextManager[None]:
        """Return a context manager inside which a statement that takes longer fails. It is part of a transaction."""


class SQLiteDialect(Dialect):
    """The SQL of SQLite: one writer, lists and rows as JSON, instants as text."""

    name = "sqlite"
    has_row_locks = False
    has_updating_cte = False

    def upsert(self, table: Table) -> Upsert:
        return sqlite.insert(table)

    def insert_rows(self, connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Values]) -> None:
        connection.execute(insert(table).values({name: bindparam(name) for name in names}), rows)

    def json_table(self, types: Mapping[str, TypeEngine[Any]]) -> FromClause:
        each = func.json_each(bindparam(ROWS, type_=String)).table_valued("value", name="each_row")
        columns = (
            type_coerce(func.json_extract(each.c.value, f"$.{name}"), type_).label(name)
            for name, type_ in types.items()
        )
        return select(*columns).subquery(JSON_TABLE)

    def encode_rows(self, rows: Iterable[Values]) -> str:
        # As `Instant` stores them: they sort correctly only at a fixed width.
        return orjson.dumps(list(rows), default=_instant_to_text, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()

    def is_in_list(self, column: Column[Any], parameter: str) -> ColumnElement[bool]:
        return column.in_(select(func.json_each(bindparam(parameter, type_=String)).table_valued("value").c.value))

    def in_list_sql(self, column: str, parameter: str, type_: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(:{parameter}))"

    def encode_list(self, values: Iterable[int] | Iterable[str]) -> object:
        return orjson.dumps(list(values)).decode()

    def row_lock_sql(self, clause: str) -> str:
        return ""

    def lock_upgrade(self, connection: Connection, key: int) -> None:
        """Do nothing: the transaction already holds the only write lock, and SQLite limits no statement."""

    @contextmanager
    def limit_statements(self, connection: Connection, seconds: float) -> Iterator[None]:
        driver = connection.connection.driver_connection
        assert driver is not None
        until = time.monotonic() + seconds
        # True interrupts the statement that runs. Together they have as long as one of them has on PostgreSQL.
        driver.set_progress_handler(lambda: time.monotonic() > until, _PROGRESS_STEPS)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)


class PostgreSQLDialect(Dialect):
    """The SQL of PostgreSQL: row locks, COPY, arrays.

    Its modules are imported where they are used: a program on SQLite would load them for nothing, at every start.
    """

    name = "postgresql"
    has_row_locks = True
    has_updating_cte = True

    def upsert(self, table: Table) -> Upsert:
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    def insert_rows(self, connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Values]) -> None:
        import psycopg
        from psycopg import sql

        # COPY is four times as fast as INSERT.
        driver: Any = connection.connection.driver_connection
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
        try:
            with driver.cursor() as cursor, cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row([row[name] for name in names])
        except psycopg.Error as error:
            # Callers and retries expect SQLAlchemy's errors.
            raise DBAPIError.instance(
                "COPY", None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect
            ) from error

    def json_table(self, types: Mapping[str, TypeEngine[Any]]) -> FromClause:
        rows = cast(bindparam(ROWS, type_=Text), JSON)
        columns = [column(name, type_) for name, type_ in types.items()]
        table = func.json_to_recordset(rows).table_valued(*columns, name=JSON_TABLE)
        return table.render_derived(name=JSON_TABLE, with_types=True)

    def encode_rows(self, rows: Iterable[Values]) -> str:
        # Aware instants keep their offset, so the session's time zone, which a URL or a pooler may set, has no effect.
        return orjson.dumps(list(rows)).decode()

    def is_in_list(self, column: Column[Any], parameter: str) -> ColumnElement[bool]:
        return column == func.any(cast(bindparam(parameter), ARRAY(type(column.type))))

    def in_list_sql(self, column: str, parameter: str, type_: str) -> str:
        return f"{column} = ANY(CAST(:{parameter} AS {type_}[]))"

    def encode_list(self, values: Iterable[int] | Iterable[str]) -> object:
        return list(values)

    def row_lock_sql(self, clause: str) -> str:
        return clause

    def lock_upgrade(self, connection: Connection, key: int) -> None:
        # An index on a large table takes its time.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({key}), set_config('statement_timeout', '0', true)")

    @contextmanager
    def limit_statements(self, connection: Connection, seconds: float) -> Iterator[None]:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{seconds:g}s'")
        yield


_DIALECTS: Mapping[str, Dialect] = {"sqlite": SQLiteDialect(), "postgresql": PostgreSQLDialect()}


def dialect_of(connection: Connection) -> Dialect:
    """Return the dialect of a connection: always the same object, so that it can key a cache of statements."""
    return _DIALECTS[connection.dialect.name]


def _instant_to_text(value: Any) -> str:
    if isinstance(value, datetime):
        return instant_to_text(value)
    raise TypeError(type(value).__name__)
