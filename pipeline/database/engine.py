"""The database of a process: one engine, and the kinds of transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from pipeline.database.postgresql import PostgreSQL
from pipeline.database.sqlite import SQLite, database_file
from pipeline.errors import InvalidSettings, PipelineError, Unreachable

#: Connections that every process may need: its recorder, dispatch loop, sender and so on. Each thread that runs
#: micro-batches needs one more.
POOL_SIZE, POOL_OVERFLOW = 8, 8
#: How long a transaction waits for what another one holds: all of SQLite's file, rows or tables of PostgreSQL.
LOCK_SECONDS = 30.0


class _Backend(Protocol):
    """How one kind of database opens connections and transactions."""

    engine: Engine

    def write(self) -> AbstractContextManager[Connection]: ...

    def write_once(self) -> AbstractContextManager[Connection]: ...

    def read(self) -> AbstractContextManager[Connection]: ...

    def user_planner(self) -> Callable[[Connection], AbstractContextManager[object]]: ...

    def explain(self, error: DBAPIError) -> PipelineError | None: ...


class Database:
    """An engine and its transactions. Build one per process: never at import time, never before a fork.

    Errors that mean the database cannot be used at all are raised as `Unreachable` or `InvalidSettings`.

    Args:
        url: `sqlite:///FILE` or `postgresql://…`.
        concurrency: threads that use the database in addition to those every process has.
        lock_seconds: how long a transaction waits for what other transactions hold.

    Raises:
        InvalidSettings: the URL is not one of these.
    """

    def __init__(self, url: str, *, concurrency: int = 0, lock_seconds: float = LOCK_SECONDS) -> None:
        self.url: URL = _parse(url)
        self.is_sqlite: bool = self.url.get_backend_name() == "sqlite"
        backend = SQLite if self.is_sqlite else PostgreSQL
        self._backend: _Backend = backend(
            self.url, lock_seconds=lock_seconds, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW + concurrency
        )
        self.engine: Engine = self._backend.engine
        self._user_planner: Callable[[Connection], AbstractContextManager[object]] | None = None
        self._write_failure: tuple[float, Unreachable] | None = None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that changes rows. It commits at the end, and rolls back if the block raises."""
        with self._noting_failures(), self._explained(), self._backend.write() as connection:
            yield connection

    @contextmanager
    def write_once(self) -> Iterator[Connection]:
        """Open a transaction of a single statement, for which PostgreSQL needs one round trip instead of three."""
        with self._noting_failures(), self._explained(), self._backend.write_once() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction, whose statements all see the same state."""
        with self._explained(), self._backend.read() as connection:
            yield connection

    def user_planner(self) -> Callable[[Connection], AbstractContextManager[object]]:
        """Return a context manager for the parts of a transaction in which a user's code runs.

        Inside it, PostgreSQL plans statements by its own settings instead of those that our statements need. They are
        read by the first call, on a connection of their own: a later change of the server's configuration is not seen.
        Call this before the transaction begins, which should not wait for that connection.
        """
        if self._user_planner is None:
            with self._explained():
                self._user_planner = self._backend.user_planner()
        return self._user_planner

    def recent_write_failure(self, seconds: float) -> Unreachable | None:
        """Return why the last transaction that failed did so, if it could not be written within these seconds."""
        if self._write_failure is None:
            return None
        failed_at, error = self._write_failure
        return error if time.monotonic() - failed_at <= seconds else None

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.engine.dispose()

    @contextmanager
    def _noting_failures(self) -> Iterator[None]:
        try:
            yield
        except Unreachable as error:
            self._write_failure = time.monotonic(), error
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            explained = self._backend.explain(error)
            if explained is None:
                raise
            raise explained from error
        except NoFreeConnection as error:
            raise Unreachable("all connections of this process to the database are in use; try again") from error


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
        database_file(parsed)
        return parsed.set(drivername="sqlite+pysqlite")
    raise InvalidSettings(f"PIPELINE_DATABASE_URL names {backend!r}; pipeline supports sqlite and postgresql")
