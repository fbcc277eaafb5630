"""SQLite: its file, connections, transactions and errors."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, Pool, QueuePool

from pipeline.database.changes import SQLiteChanges
from pipeline.errors import DatabaseFull, InvalidSettings, PipelineError, ProcessForked, Unreachable
from pipeline.fork_gate import ForkGate
from pipeline.fork_hooks import keep_from_parent

# WAL: readers and the writer do not wait for each other. NORMAL: a process that is killed loses nothing it committed;
# only a power cut can undo the last commits, each as a whole.
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16000")
FILE_SCHEME = "file:"
_ALTERNATIVE = "or name another in PIPELINE_DATABASE_URL"

#: Files that were open when this process was forked. SQLite keeps one state per file and process, locks included; the
#: child has a copy of it that is not true, and cannot drop it.
_open_at_fork: set[Path] = set()


class SQLite:
    """Connections to one file, and transactions that wait for the one writer SQLite allows."""

    def __init__(self, url: URL, *, lock_seconds: float, pool_size: int, max_overflow: int) -> None:
        self._url = url
        _refuse_if_open_at_fork(url)
        self._lock_seconds = lock_seconds
        #: Since when transactions have waited for a writer in another process; None: the last one began.
        self._waits_since: float | None = None
        self.engine = create_engine(
            url,
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=max_overflow,
            # As few connections as possible are in use: each has its own cache.
            pool_use_lifo=True,
            # isolation_level None: `write` and `read` begin transactions, not the driver.
            connect_args={"timeout": lock_seconds, "isolation_level": None, "check_same_thread": False},
        )
        # A thread that waits for this lock wakes at once; SQLite's busy handler sleeps for up to 100 ms.
        self._writer = threading.Lock()
        self._gate = ForkGate()
        self._probes: WeakSet[SQLiteChanges] = WeakSet()
        self._in_use: dict[int, tuple[int, sqlite3.Connection]] = {}
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "checkout", self._note_use)
        event.listen(self.engine, "checkin", self._forget_use)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._gate.passing(), self._writer, self.engine.connect() as connection:
            self._waits_since = self._waits_since or time.monotonic()
            # IMMEDIATE takes the write lock first: a transaction that takes it later can fail without waiting.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            self._waits_since = None
            try:
                yield connection
            except BaseException:
                _roll_back(connection)
                raise
            connection.exec_driver_sql("COMMIT")

    def write_once(self) -> AbstractContextManager[Connection]:
        return self.write()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._gate.passing(), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                _roll_back(connection)

    def user_planner(self) -> Callable[[Connection], AbstractContextManager[object]]:
        """Return what changes nothing: SQLite's planner has no settings."""
        return nullcontext

    def change_probe(self) -> SQLiteChanges:
        probe = SQLiteChanges(self._url.database or "", is_uri=(self._url.database or "").startswith(FILE_SCHEME))
        self._probes.add(probe)
        return probe

    def before_fork(self) -> None:
        """Close every connection: one that is open during a fork can neither be used nor closed in the child."""
        for probe in list(self._probes):
            probe.close()
        if self._gate.close():
            self.engine.dispose()

    def after_fork_in_parent(self) -> None:
        """Let transactions begin again."""
        self._gate.reopen()

    def after_fork_in_child(self) -> None:
        """Forget the connections of the parent, which refuse every further statement."""
        self._gate.forget()
        path = database_file(self._url)
        if path is not None and not _is_empty(self.engine.pool):
            _open_at_fork.add(path.resolve())
        thread = threading.get_ident()
        for owner, connection in self._in_use.values():
            # Those of other threads may be locked, and nobody can use them any more.
            if owner == thread:
                with suppress(sqlite3.Error):
                    connection.set_authorizer(_deny)
        # A connection that is closed or rolled back here would change what the parent uses.
        for name in ("do_close", "do_terminate", "do_rollback"):
            setattr(self.engine.dialect, name, keep_from_parent)
        keep_from_parent(self.engine, *self._in_use.values())

    def _note_use(self, connection: sqlite3.Connection, record: ConnectionPoolEntry, _: Any) -> None:
        self._in_use[id(record)] = threading.get_ident(), connection

    def _forget_use(self, _connection: sqlite3.Connection | None, record: ConnectionPoolEntry) -> None:
        self._in_use.pop(id(record), None)

    def explain(self, error: DBAPIError) -> PipelineError | None:
        """Return an error that says what is wrong with the file, or None if the cause is something else."""
        path = database_file(self._url)
        if path is None or not isinstance(error.orig, sqlite3.Error):
            return None
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            return InvalidSettings(f"{path} is not a SQLite database; correct PIPELINE_DATABASE_URL")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Unreachable(
                f"the database {path} has been locked by another program for {self._waited():.0f} s; close that "
                "program, or wait until it is done"
            )
        if code == sqlite3.SQLITE_FULL:
            return DatabaseFull(
                f"the disk of the database {path} is full; make room on it, {_ALTERNATIVE}; nothing that was stored "
                "is lost"
            )
        problem = _problem(code, path, error.orig)
        return None if problem is None else Unreachable(f"{problem}, {_ALTERNATIVE}")

    def _waited(self) -> float:
        """Return for how many seconds transactions have waited for a writer in another process."""
        return self._lock_seconds if self._waits_since is None else time.monotonic() - self._waits_since


def database_file(url: URL) -> Path | None:
    """Return the absolute path of the file that a URL names, or None if it is not a SQLite URL.

    Raises:
        InvalidSettings: it names an in-memory database, which no other connection can see and which is lost when the
            process exits.
    """
    if url.get_backend_name() != "sqlite":
        return None
    name = (url.database or "").removeprefix(FILE_SCHEME)
    if name in ("", ":memory:") or url.query.get("mode") == "memory":
        raise InvalidSettings(
            "PIPELINE_DATABASE_URL names an in-memory database, which is lost when the process exits and which its "
            "threads cannot share; name a file, such as sqlite:///pipeline.db"
        )
    return Path(name).absolute()


def _roll_back(connection: Connection) -> None:
    # After some errors, such as a full disk, SQLite has ended the transaction itself. The error that led here counts.
    with suppress(DBAPIError):
        connection.exec_driver_sql("ROLLBACK")


def _configure(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _deny(*_: object) -> int:
    return sqlite3.SQLITE_DENY


def _is_empty(pool: Pool) -> bool:
    return isinstance(pool, QueuePool) and pool.checkedin() == pool.checkedout() == 0


def _refuse_if_open_at_fork(url: URL) -> None:
    path = database_file(url)
    if path is not None and path.resolve() in _open_at_fork:
        raise ProcessForked(
            f"this process was forked in the middle of a transaction on {path}, which SQLite does not survive; fork "
            "outside of transactions, or start the process with spawn or forkserver"
        )


def _problem(code: int, path: Path, error: sqlite3.Error) -> str | None:
    """Return what keeps everybody from using a database file, and what to do; None if it is something else."""
    match code:
        case sqlite3.SQLITE_CORRUPT:
            return f"the database {path} is damaged: {error}; restore it from a backup"
        case sqlite3.SQLITE_IOERR:
            return (
                f"cannot read or write the database {path}: {error}; its disk may be full or broken: make room on it "
                "or repair it"
            )
        case sqlite3.SQLITE_READONLY:
            return (
                f"the database {path} is read-only; give this user write permission to it and to its folder (which "
                "reading needs as well)"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return f"cannot open the database {path}: {_open_problem(path)}"
    return None


def _open_problem(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; create it"
    if path.is_dir():
        return "it is a folder; name a file in it"
    if path.exists() and not os.access(path, os.R_OK):
        return "this user may not read it; grant read permission"
    # SQLite keeps its log and the log's index in the same folder, and readers create them as well.
    return f"this user may not write to the folder {path.parent}, which reading needs as well; grant write permission"
