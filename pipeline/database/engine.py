"""The database of a process: one engine, and the kinds of transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from pipeline.database import transaction_end
from pipeline.database.changes import ChangeProbe
from pipeline.database.sqlite import FILE_SCHEME, SQLite, database_file
from pipeline.errors import InvalidSettings, PipelineError, ProcessForked, Unreachable
from pipeline.fork_hooks import ForkAware

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

    def change_probe(self) -> ChangeProbe: ...

    def explain(self, error: DBAPIError) -> PipelineError | None: ...

    def before_fork(self) -> None: ...

    def after_fork_in_parent(self) -> None: ...

    def after_fork_in_child(self) -> None: ...


class Database(ForkAware):
    """An engine and its transactions. It belongs to the process that built it: a child of a fork builds another.

    Errors that mean the database cannot be used at all are raised as `Unreachable` or `InvalidSettings`.

    Args:
        url: `sqlite:///FILE` or `postgresql://…`.
        concurrency: threads that use the database in addition to those every process has.
        lock_seconds: how long a transaction waits for what other transactions hold.

    Raises:
        InvalidSettings: the URL is not one of these.
        ProcessForked: this process was forked inside a transaction on it, and it is SQLite.
    """

    def __init__(self, url: str, *, concurrency: int = 0, lock_seconds: float = LOCK_SECONDS) -> None:
        self.url: URL = _parse(url)
        self.is_sqlite: bool = self.url.get_backend_name() == "sqlite"
        self._backend = _open(self.url, lock_seconds, POOL_OVERFLOW + concurrency)
        self.engine: Engine = self._backend.engine
        self._user_planner: Callable[[Connection], AbstractContextManager[object]] | None = None
        self._write_failure: tuple[float, Unreachable] | None = None
        self._process = os.getpid()
        self.watch_forks()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that changes rows. It commits at the end, and rolls back if the block raises."""
        end, outcome = None, transaction_end.TransactionOutcome.ROLLED_BACK
        try:
            with self._noting_failures(), self._explained(), self._backend.write() as connection:
                end = transaction_end.begin(connection)
                try:
                    yield connection
                finally:
                    transaction_end.close(connection)
                outcome = transaction_end.TransactionOutcome.UNKNOWN
            outcome = transaction_end.TransactionOutcome.COMMITTED
        finally:
            # A child of a fork leaves its parent's calls, and their locks, to the parent.
            if end is not None and self._process == os.getpid():
                end.run(outcome)

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
        """Return why the last transaction could not be written, if that was within these seconds; None if it was."""
        # Once: another thread may change it.
        failure = self._write_failure
        if failure is None:
            return None
        failed_at, error = failure
        return error if time.monotonic() - failed_at <= seconds else None

    def change_probe(self) -> ChangeProbe:
        """Return what tells whether anything was committed, for a thread that polls."""
        return self._backend.change_probe()

    def close(self) -> None:
        """Close the connections: those in use when their transactions end."""
        if self._process == os.getpid():
            left = self.engine.pool
            self.engine.dispose()
            # The engine has another pool now: this one would drop what comes back, open.
            event.listen(left, "checkin", lambda _, record: record.close())

    def before_fork(self) -> None:
        self._backend.before_fork()

    def after_fork_in_parent(self) -> None:
        self._backend.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        self._backend.after_fork_in_child()

    def _refuse_in_child(self) -> None:
        # Asked for every time: a server that forks in C may skip our hooks.
        if self._process != os.getpid():
            raise ProcessForked("this process was forked during the call, which goes on in the parent only")

    @contextmanager
    def _noting_failures(self) -> Iterator[None]:
        try:
            yield
        except Unreachable as error:
            self._write_failure = time.monotonic(), error
            raise
        # A failure that is over is no reason to give up.
        self._write_failure = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        self._refuse_in_child()
        try:
            yield
        except DBAPIError as error:
            self._refuse_in_child()
            explained = self._backend.explain(error)
            if explained is None:
                raise
            raise explained from error
        except NoFreeConnection as error:
            raise Unreachable("all connections of this process to the database are in use; try again") from error
        except Exception:
            # What a child raises in the parent's transaction ends only its own copy of it.
            self._refuse_in_child()
            raise


def _open(url: URL, lock_seconds: float, max_overflow: int) -> _Backend:
    if url.get_backend_name() == "sqlite":
        return SQLite(url, lock_seconds=lock_seconds, pool_size=POOL_SIZE, max_overflow=max_overflow)
    # Imported here: its driver takes long to import, and SQLite needs none of it.
    from pipeline.database.postgresql import PostgreSQL

    return PostgreSQL(url, lock_seconds=lock_seconds, pool_size=POOL_SIZE, max_overflow=max_overflow)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The latter: the port is no number.
        raise InvalidSettings(
            "PIPELINE_DATABASE_URL is not a database URL; "
            "expected something like sqlite:///pipeline.db or postgresql://user@host/name"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        path = database_file(parsed)
        # Absolute, since a program may change its folder between two connections.
        is_uri = (parsed.database or "").startswith(FILE_SCHEME)
        name = parsed.database if is_uri else str(path)
        return parsed.set(drivername="sqlite+pysqlite", database=name)
    raise InvalidSettings(f"PIPELINE_DATABASE_URL names {backend!r}; pipeline supports sqlite and postgresql")
