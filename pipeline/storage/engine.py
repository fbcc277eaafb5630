"""The database: one engine per process, and the two kinds of transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from pipeline.errors import InvalidSettings, Unreachable

#: How long a connection waits for another process's write transaction on SQLite.
BUSY_TIMEOUT_SECONDS = 30


class Database:
    """An engine and its transactions. Built per process, never at import, never carried over a fork."""

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine: Engine = create_engine(self.url, hide_parameters=True, **_options(self.is_sqlite))
        # SQLite has one writer; waiting on a lock of ours wakes at once, its busy handler sleeps up to 100 ms.
        self._writer = threading.Lock()
        if self.is_sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)

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
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads: one consistent view."""
        if not self.is_sqlite:
            with _reachable(self.url), self.engine.begin() as connection:
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
        return parsed.set(drivername="sqlite+pysqlite")
    raise InvalidSettings(f"PIPELINE_DATABASE_URL names {backend!r}; pipeline runs on sqlite and postgresql")


def _options(is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        # isolation_level None: the driver opens no transaction of its own, `write` and `read` do.
        return {
            "connect_args": {"timeout": BUSY_TIMEOUT_SECONDS, "isolation_level": None, "check_same_thread": False},
        }
    return {"pool_pre_ping": True, "pool_size": 8, "max_overflow": 8}


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # WAL: readers and the writer do not wait for each other. NORMAL: a killed process loses nothing that was
    # committed; only a power cut may take the last commits, and then as a whole.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def _reachable(url: URL) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise Unreachable(f"the database at {_shown(url)} closed the connection; is it running?") from error
        if "unable to open database file" in str(error.orig) or "connection failed" in str(error.orig):
            raise Unreachable(f"cannot open the database at {_shown(url)}: {error.orig}") from error
        raise


def _shown(url: URL) -> str:
    # Not only the password: a query may hold one as well.
    return url.set(query={}).render_as_string(hide_password=True)
