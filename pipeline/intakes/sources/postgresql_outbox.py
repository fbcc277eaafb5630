"""PostgreSQL: the rows of an outbox table, deleted or marked in a transaction that ends after ours.

`id > last` would lose a row whose transaction commits after one with a higher id. Rows are locked instead, and gone
once they are accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
from psycopg import errors, sql

from pipeline.domain.urls.intake_source import OutboxPlace
from pipeline.errors import InvalidSettings, SourceUnavailable
from pipeline.intakes.rules.messages import Chunk, IntakeMessage
from pipeline.intakes.sources.acknowledged_source import AcknowledgedSource
from pipeline.intakes.sources.source import IntakeReader

#: Seconds between two looks at an empty table, if nobody notifies.
POLL_SECONDS = 1.0
#: The channel on which a writer of the table may notify.
CHANNEL = "pipeline_outbox"
_MOST_COUNTED = 1_000_000
_ID, _PAYLOAD = "id", "payload"
#: Errors that no repetition helps against.
_FATAL = (
    errors.UndefinedTable, errors.UndefinedColumn, errors.InsufficientPrivilege, errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification, errors.InvalidCatalogName,
)  # fmt: skip


class PostgresqlOutbox(AcknowledgedSource):
    """Takes rows of a table. Several processes may share it."""

    def __init__(self, place: OutboxPlace, options: Mapping[str, str], shown: str, reader: IntakeReader) -> None:
        self._shown = shown
        self._statement, self._count = _statement(place), _count(place)
        login = {"user": options.get("username"), "password": options.get("password")}
        tls = {"sslmode": options.get("sslmode"), "sslrootcert": options.get("ca_file")}
        with self._explained():
            self._connection: psycopg.Connection[Any] = psycopg.connect(
                host=place.host,
                port=place.port,
                dbname=place.database,
                connect_timeout=10,
                application_name="pipeline consume",
                **{name: value for name, value in (login | tls).items() if value is not None},  # type: ignore[arg-type]
            )
            self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self._connection.commit()

    def take(self, limit: int, seconds: float) -> Chunk:
        with self._explained():
            found = self._connection.execute(self._statement, {"limit": limit}).fetchall()
            if not found:
                # No transaction stays open while nothing comes, and none receives notifications.
                self._connection.rollback()
                # What has come meanwhile, such as one for each row of the last chunk, wakes it once.
                for _ in self._connection.notifies(timeout=min(seconds, POLL_SECONDS), stop_after=1):
                    pass
        if not found:
            return Chunk(())
        return Chunk([IntakeMessage(_body(payload), message_id=str(id_)) for id_, payload in sorted(found, key=_by_id)])

    def confirm(self) -> None:
        with self._explained():
            self._connection.commit()

    def put_back(self) -> None:
        with self._explained():
            self._connection.rollback()

    def keep_alive(self) -> None:
        """Do nothing: the connection may be idle."""

    def backlog(self, positions: Mapping[str, str]) -> int | None:
        """Count the rows that wait, up to a million."""
        with self._explained():
            found = self._connection.execute(self._count).fetchone()
            self._connection.rollback()
        return None if found is None else int(found[0])

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _FATAL as error:
            raise InvalidSettings(f"{self._shown} cannot be read: {error.diag.message_primary or error}") from None
        except psycopg.Error as error:
            if "password authentication failed" in str(error) or "no password supplied" in str(error):
                raise InvalidSettings(f"{self._shown} refuses the credentials") from None
            raise SourceUnavailable(f"{self._shown} does not answer: {type(error).__name__}") from None


def _by_id(row: tuple[Any, Any]) -> Any:
    return row[0]


def _body(payload: object) -> bytes | None:
    if payload is None or isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else orjson.dumps(payload)


def _count(place: OutboxPlace) -> sql.Composed:
    is_free: sql.Composable = sql.SQL("true")
    if place.mark is not None:
        is_free = sql.SQL("{} IS NULL").format(sql.Identifier(place.mark))
    found = sql.SQL("SELECT count(*) FROM (SELECT FROM {table} WHERE {is_free} LIMIT {most}) AS waiting")
    return found.format(table=_table(place), is_free=is_free, most=_MOST_COUNTED)


def _table(place: OutboxPlace) -> sql.Identifier:
    return sql.Identifier(*[place.table] if place.schema is None else [place.schema, place.table])


def _statement(place: OutboxPlace) -> sql.Composed:
    table, id_, payload = _table(place), sql.Identifier(_ID), sql.Identifier(_PAYLOAD)
    if place.mark is None:
        head, free = sql.SQL("DELETE FROM {}").format(table), sql.SQL("").format()
    else:
        mark = sql.Identifier(place.mark)
        head = sql.SQL("UPDATE {} SET {} = now()").format(table, mark)
        free = sql.SQL("WHERE {} IS NULL").format(mark)
    return sql.SQL(
        "{head} WHERE {id} IN (SELECT {id} FROM {table} {free} ORDER BY {id} FOR UPDATE SKIP LOCKED LIMIT %(limit)s) "
        "RETURNING {id}, {payload}::text"
    ).format(head=head, id=id_, table=table, free=free, payload=payload)
