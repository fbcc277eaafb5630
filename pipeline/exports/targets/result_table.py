"""Exports to a table of PostgreSQL. The rows and how far they go are written in one transaction of its database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pipeline.domain.urls.export_target import ExportTarget, TableMode
from pipeline.errors import TargetConflict, TargetUnavailable
from pipeline.exports.rules.table_rows import COLUMNS

#: The table, beside that of the results, that says how far each export of a batch is.
PROGRESS = "pipeline_exports"
#: Seconds that a statement may wait for a lock, or take.
STATEMENT_SECONDS = 30
_CONNECT_SECONDS = 10
#: Options of a connection by the names that libpq has for them.
_NAMES = {"username": "user", "ca_file": "sslrootcert"}
#: Classes of errors that lie in a row: data, integrity.
_ROW_CLASSES = ("22", "23")
_REPEATED_TARGET = "21000"


class RowRefused(Exception):
    """The table refuses a row for what it contains.

    Args:
        reason: the server's word, without values.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table, and whom its progress belongs to.

    Args:
        shown: its URL, for messages.
        batch_id: public id of the batch.
        number: of the export in its batch.
    """

    target: ExportTarget
    shown: str
    batch_id: str
    number: int

    @property
    def table(self) -> sql.Identifier:
        _, schema, table = self.target.table
        return sql.Identifier(schema, table)

    @property
    def progress(self) -> sql.Identifier:
        return sql.Identifier(self.target.table[1], PROGRESS)


class ResultTable:
    """An open table.

    Raises:
        TargetUnavailable: by every method: the server does not answer, refuses the login, or waits too long for a lock.
    """

    def __init__(self, reference: TableRef, connection: psycopg.Connection[Any]) -> None:
        self._reference = reference
        self._connection = connection

    def next_seq(self) -> int:
        """Return from where on results are not in the table yet."""
        with self._transaction() as cursor:
            return self._lock_progress(cursor)

    def add(self, rows: Sequence[Mapping[str, Any]], *, from_seq: int, next_seq: int) -> int:
        """Insert rows and move on, in one transaction. Return from where on results are not in the table then.

        Args:
            rows: by column.
            from_seq: where the rows begin; if another process has moved on, nothing is written.

        Raises:
            RowRefused: the table refuses one of them; nothing is written.
            TargetConflict: the table cannot take such rows at all.
        """
        with self._transaction() as cursor:
            stored = self._lock_progress(cursor)
            if stored != from_seq:
                return stored
            if rows:
                cursor.execute(self._insert(), [[row[name] for row in rows] for name in COLUMNS])
            statement = sql.SQL("UPDATE {} SET next_seq = %s WHERE batch_id = %s AND export = %s")
            cursor.execute(statement.format(self._reference.progress), [next_seq, *self._key()])
        return next_seq

    def count(self) -> tuple[int, int, int]:
        """Return how many rows of the batch the table has, and their lowest and highest `seq`."""
        with self._transaction() as cursor:
            statement = sql.SQL(
                "SELECT count(*), coalesce(min(seq), 0), coalesce(max(seq), 0) FROM {} WHERE batch_id = %s"
            )
            cursor.execute(statement.format(self._reference.table), [self._reference.batch_id])
            found = cursor.fetchone()
        assert found is not None
        return int(found[0]), int(found[1]), int(found[2])

    def close(self) -> None:
        self._connection.close()

    def _key(self) -> tuple[str, int]:
        return self._reference.batch_id, self._reference.number

    def _lock_progress(self, cursor: psycopg.Cursor[Any]) -> int:
        progress = self._reference.progress
        insert = sql.SQL("INSERT INTO {} (batch_id, export, next_seq) VALUES (%s, %s, 1) ON CONFLICT DO NOTHING")
        cursor.execute(insert.format(progress), self._key())
        select = sql.SQL("SELECT next_seq FROM {} WHERE batch_id = %s AND export = %s FOR UPDATE")
        cursor.execute(select.format(progress), self._key())
        found = cursor.fetchone()
        assert found is not None
        return int(found[0])

    def _insert(self) -> sql.Composed:
        arrays = sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(type_)) for type_ in COLUMNS.values())
        names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        statement = sql.SQL("INSERT INTO {} AS known ({}) SELECT * FROM unnest({})").format(
            self._reference.table, names, arrays
        )
        if self._reference.target.options.mode is TableMode.APPEND:
            return statement
        return statement + self._newer_wins()

    def _newer_wins(self) -> sql.Composed:
        changed = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in COLUMNS if name != "key"
        )
        return sql.SQL(
            " ON CONFLICT (key) DO UPDATE SET {} "
            "WHERE (excluded.finished_at, excluded.seq) > (known.finished_at, known.seq)"
        ).format(changed)

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor[Any]]:
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            raise _trouble(self._reference, error) from error


def open_table(reference: TableRef, options: Mapping[str, str]) -> ResultTable:
    """Connect to the database of a table.

    Args:
        options: of a connection; what is missing comes from the environment, as libpq has it (`PGUSER`, `~/.pgpass`).

    Raises:
        TargetUnavailable: it does not answer, or refuses the login.
    """
    host, _, port = reference.target.host.partition(":")
    # Options are checked by libpq, by name.
    given: Any = {_NAMES.get(name, name): value for name, value in options.items()}
    try:
        connection = psycopg.connect(
            host=host,
            port=port or None,
            dbname=reference.target.table[0],
            connect_timeout=_CONNECT_SECONDS,
            application_name="pipeline-exports",
            options=f"-c statement_timeout={STATEMENT_SECONDS}s -c idle_in_transaction_session_timeout=60s",
            autocommit=True,
            **given,
        )
    except psycopg.Error as error:
        raise _trouble(reference, error) from None
    return ResultTable(reference, connection)


def make_ddl(target: ExportTarget) -> str:
    """Return the statements that create the tables of a target."""
    _, schema, table = target.table
    # Quoted: a name may be a word of SQL. It has no quotes itself.
    place, progress = f'"{schema}"."{table}"', f'"{schema}"."{PROGRESS}"'
    lines = [f"    {name} {type_}{_constraint(name, target.options.mode)}" for name, type_ in COLUMNS.items()]
    if target.options.mode is TableMode.APPEND:
        lines.append("    PRIMARY KEY (batch_id, seq)")
    body = ",\n".join(lines)
    return (
        f"CREATE TABLE {place} (\n{body}\n);\n\n"
        f"CREATE TABLE IF NOT EXISTS {progress} (\n"
        "    batch_id text,\n    export integer,\n    next_seq bigint NOT NULL,\n"
        "    PRIMARY KEY (batch_id, export)\n);\n"
    )


def _constraint(name: str, mode: TableMode) -> str:
    if name == "key" and mode is TableMode.UPSERT:
        return " PRIMARY KEY"
    return " NOT NULL" if name in ("batch_id", "item_id", "seq", "state", "attempts") else ""


def _trouble(reference: TableRef, error: psycopg.Error) -> Exception:
    """Return what a failure of the server means. Its details are left out: they show values."""
    state, reason = error.sqlstate or "", _first_line(error)
    shown = reference.shown
    if state.startswith(_ROW_CLASSES) or state == _REPEATED_TARGET:
        return RowRefused(f"{reason} ({state})")
    if state.startswith("42") and state != "42501":
        advice = f"create the table as `pipeline exports ddl '{reference.shown}'` prints it"
        return TargetConflict(f"{shown}: {reason} ({state}); {advice}, then run `pipeline exports retry`")
    if state.startswith("28") or state == "42501":
        return TargetUnavailable(f"{shown} refused the login ({state}); check the user and its rights")
    if state:
        return TargetUnavailable(f"{shown}: {reason} ({state})")
    # Before there is a session, the text names hosts and users.
    return TargetUnavailable(f"{shown} does not answer, or refused the login ({type(error).__name__})")


def _first_line(error: psycopg.Error) -> str:
    primary = error.diag.message_primary
    return (primary or type(error).__name__).splitlines()[0][:200]
