"""The database: one engine per process, and the two kinds of transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from pipeline.database import sqlite
from pipeline.errors import InvalidSettings, Unreachable

#: How long a statement waits for another transaction: for a row on PostgreSQL, for the one writer on SQLite.
LOCK_TIMEOUT_SECONDS = 30
#: How long PostgreSQL may take to answer a connection; its restart takes longer, and who needs it tries again.
CONNECT_TIMEOUT_SECONDS = 5
#: Far beyond any statement of ours: one that hangs must not keep its locks and its thread for ever.
STATEMENT_TIMEOUT_SECONDS = 120
#: A process that stops in mid-transaction (suspended, or its host cut off) keeps rows locked no longer than this.
IDLE_IN_TRANSACTION_SECONDS = 60

#: Each worker process has a recorder, a pulse, a sender and the like. Threads that run micro-batches come on top.
POOL_SIZE, POOL_OVERFLOW = 8, 8

#: Seconds after which a connection of the pool is looked at before it is used.
IDLE_SECONDS = 1.0

#: What PostgreSQL says, by SQLSTATE, when it cannot serve us at all: connection trouble, shut down or starting up, too
#: many connections, no such database, refused, or our transaction was ended for its idleness.
_AWAY = ("08", "57P", "53300", "3D000", "28", "25P03")


class Database:
    """An engine and its transactions. Built per process, never at import, never carried over a fork."""

    def __init__(self, url: str, *, concurrency: int = 0) -> None:
        """`concurrency`: threads that use it beside those that every process has."""
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine: Engine = create_engine(
            self.url,
            hide_parameters=True,
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW + concurrency,
            **_options(self.url),
        )
        # SQLite has one writer; waiting on a lock of ours wakes at once, its busy handler sleeps up to 100 ms.
        self._writer = threading.Lock()
        if self.is_sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)
            return
        event.listen(self.engine, "checkin", _remember_use)
        event.listen(self.engine, "checkout", _check_after_idleness)
        self._single = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # One view for all statements of a transaction, as on SQLite.
        self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that changes rows: committed at the end, rolled back when the block raises."""
        if not self.is_sqlite:
            with _reachable(self.url), self.engine.begin() as connection:
                yield connection
            return
        with self._writer, _reachable(self.url), self.engine.connect() as connection:
            # IMMEDIATE takes the write lock first: a transaction that upgrades later can fail without waiting.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    @contextmanager
    def write_once(self) -> Iterator[Connection]:
        """A transaction of one statement. PostgreSQL needs no BEGIN and no COMMIT for it: one round trip, not three."""
        if self.is_sqlite:
            with self.write() as connection:
                yield connection
            return
        with _reachable(self.url), self._single.connect() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads: one consistent view."""
        if not self.is_sqlite:
            with _reachable(self.url), self._reading.begin() as connection:
                yield connection
            return
        with _reachable(self.url), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def close(self) -> None:
        self.engine.dispose()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidSettings(
            "PIPELINE_DATABASE_URL is not a database URL; "
            "expected something like sqlite:///pipeline.db or postgresql://user@host/name"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        sqlite.file_of(parsed)
        return parsed.set(drivername="sqlite+pysqlite")
    raise InvalidSettings(f"PIPELINE_DATABASE_URL names {backend!r}; pipeline runs on sqlite and postgresql")


def _options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        # isolation_level None: the driver opens no transaction of its own, `write` and `read` do.
        return {
            "connect_args": {"timeout": LOCK_TIMEOUT_SECONDS, "isolation_level": None, "check_same_thread": False},
        }
    return {
        "connect_args": {
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "pipeline",
            # A peer that is gone without a word is noticed in about half a minute, not in two hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 4,
            "tcp_user_timeout": 30_000,
            # At the start of the session: no statement more, and it outlives a RESET. PgBouncer has to be told to
            # accept it: ignore_startup_parameters = options.
            "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
            **_given(url),
        },
    }


_SESSION = {
    "timezone": "UTC",
    "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
    "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    # Compiling a statement takes longer than any of ours.
    "jit": "off",
    # Every statement of ours is served by an index, in the order in which it is handed rows: that in which they are
    # locked. Statistics that are old, as they are after each large submission, must not say otherwise.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # A plain index scan marks entries of rows that are gone, and the next passes over them; a bitmap scan reads them
    # again each time, and an item leaves five behind before the table is vacuumed.
    "enable_bitmapscan": "off",
}


def _given(url: URL) -> dict[str, Any]:
    """Return what the URL says differently from the defaults; it goes before."""
    given: dict[str, Any] = dict(url.query)
    if "prepare_threshold" in given:
        # 0 for a pooler that hands out connections by the transaction and knows no prepared statements.
        given["prepare_threshold"] = int(given["prepare_threshold"]) or None
    return given


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # WAL: readers and the writer do not wait for each other. NORMAL: a killed process loses nothing that was
    # committed; only a power cut may take the last commits, and then as a whole.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _remember_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _check_after_idleness(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
    """Have a connection that the server closed meanwhile replaced, and all others of the pool with it.

    SQLAlchemy's own check asks before every transaction, which costs each a round trip.
    """
    now = time.monotonic()
    if now - record.info.get("used_at", now) < IDLE_SECONDS:
        return
    try:
        with connection.transaction():
            connection.execute("")
    except psycopg.Error as error:
        raise InvalidatePoolError from error


@contextmanager
def _reachable(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        trouble = sqlite.trouble(error, url)
        if trouble is not None:
            raise trouble from error
        if _is_away(error):
            said = " ".join(str(error.orig).split())
            raise Unreachable(f"the database at {_shown(url)} is not there: {said}") from error
        raise


def _is_away(error: DBAPIError) -> bool:
    """Say whether the database cannot be used at all, rather than for this statement."""
    if not isinstance(error.orig, psycopg.Error):
        return False
    # What the server itself says has a state; without one, there was no server to say anything.
    state = error.orig.sqlstate
    return error.connection_invalidated or (
        isinstance(error, OperationalError) if state is None else state.startswith(_AWAY)
    )


def _shown(url: URL) -> str:
    # Not only the password: a query may hold one as well.
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)
