"""PostgreSQL: its sessions, transactions and errors."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any
from weakref import WeakSet

import psycopg
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from pipeline.database.changes import AlwaysChanged
from pipeline.database.planner import PLANNER, UserPlanner, read_planner
from pipeline.errors import DatabaseFull, PipelineError, Unreachable
from pipeline.fork_hooks import keep_from_parent

#: How long the server may take to accept a connection. A restart takes longer; callers that need one try again.
CONNECT_TIMEOUT_SECONDS = 5
#: Far longer than any of our statements takes: one that hangs must not keep its locks and its thread forever.
STATEMENT_TIMEOUT_SECONDS = 120
#: How long a process that stops in the middle of a transaction (suspended, or its host cut off) keeps its row locks.
IDLE_IN_TRANSACTION_SECONDS = 60

#: Seconds without use after which a pooled connection is checked before it is used again.
IDLE_SECONDS = 1.0

_LIMITS = {
    "timezone": "UTC",
    "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
}

#: SQLSTATEs (or their prefixes) that mean the server cannot serve this process at all: connection failure, shutting
#: down or starting up, too many connections, no such database, access denied, transaction ended because it was idle.
_UNREACHABLE = ("08", "57P", "53300", "3D000", "28", "25P03")
#: SQLSTATEs that mean the server works but did not do this, and what to do about it.
_REMEDIES = {
    # read_only_sql_transaction
    "25006": "it is a standby or was set to read only; name the primary in PIPELINE_DATABASE_URL",
    # lock_not_available, query_canceled
    "55P03": "another program holds rows or tables for too long; find it in pg_stat_activity, and try again",
    "57014": "the server is overloaded, or someone cancelled the statement; try again",
    # out_of_memory, io_error
    "53200": "give the server more memory",
    "58030": "look at the server's disk and its log",
}
_DISK_FULL = "53100"


class PostgreSQL:
    """Sessions with the settings that our statements need, and transactions on them."""

    def __init__(self, url: URL, *, lock_seconds: float, pool_size: int, max_overflow: int) -> None:
        self._url = url
        self._limits = _LIMITS | {"lock_timeout": f"{lock_seconds:g}s"}
        self.engine = create_engine(
            url,
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=max_overflow,
            connect_args=_connect_args(url, self._limits | PLANNER),
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # All statements of a transaction see the same state, as on SQLite.
        self._snapshot = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._connections: WeakSet[Any] = WeakSet()
        event.listen(self.engine, "connect", lambda connection, _: self._connections.add(connection))
        event.listen(self.engine, "checkin", _record_use)
        event.listen(self.engine, "checkout", _check_if_idle)

    def write(self) -> AbstractContextManager[Connection]:
        return self.engine.begin()

    def write_once(self) -> AbstractContextManager[Connection]:
        # A single statement needs no BEGIN and no COMMIT.
        return self._autocommit.connect()

    def read(self) -> AbstractContextManager[Connection]:
        return self._snapshot.begin()

    def user_planner(self) -> UserPlanner:
        """Return what gives a user's code the planner settings of the server, its role and its database.

        Only a session on which we set none shows them: this opens one.
        """
        plain = create_engine(
            self._url, hide_parameters=True, poolclass=NullPool, connect_args=_connect_args(self._url, self._limits)
        )
        with self.engine.connect() as ours, plain.connect() as users:
            return UserPlanner(ours=read_planner(ours), users=read_planner(users))

    def change_probe(self) -> AlwaysChanged:
        return AlwaysChanged()

    def before_fork(self) -> None:
        """Do nothing: what is shared is the child's to sever."""

    def after_fork_in_parent(self) -> None:
        """Do nothing."""

    def after_fork_in_child(self) -> None:
        """Sever every connection: a byte that both processes send would mix their sessions."""
        for connection in list(self._connections):
            _sever(connection)
        keep_from_parent(self.engine, *self._connections)

    def explain(self, error: DBAPIError) -> PipelineError | None:
        """Return an error that says why the server cannot be used, or None if only this statement failed."""
        if not isinstance(error.orig, psycopg.Error):
            return None
        state = error.orig.sqlstate or ""
        server = f"the database at {_shown(self._url)}"
        if _is_unreachable(error):
            return Unreachable(f"cannot reach {server}: {' '.join(str(error.orig).split())}")
        # Not its details and context, which may quote values.
        reason = str(error.orig.diag.message_primary)
        if state == _DISK_FULL:
            return DatabaseFull(
                f"the disk of {server} is full ({reason}); make room on it; nothing that was stored is lost"
            )
        if state in _REMEDIES:
            return Unreachable(f"{server} does not carry this out ({reason}): {_REMEDIES[state]}")
        return None


def _sever(connection: psycopg.Connection[Any]) -> None:
    """Point this process's copy of a connection to nothing. The parent and the server do not notice."""
    # A connection that is closed has no socket.
    with suppress(psycopg.Error):
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(nothing, connection.fileno(), inheritable=False)
        finally:
            os.close(nothing)


def _connect_args(url: URL, settings: Mapping[str, str]) -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": "pipeline",
        # A peer that vanishes is noticed in about half a minute, not in two hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 30_000,
        # Startup options cost no statement and survive a RESET. PgBouncer must be configured to accept them:
        # ignore_startup_parameters = options.
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        **_overrides(url),
    }


def _overrides(url: URL) -> dict[str, Any]:
    """Return the connection arguments given in the URL, which override the defaults."""
    given: dict[str, Any] = dict(url.query)
    if "prepare_threshold" in given:
        # 0: for a pooler that assigns connections per transaction and does not support prepared statements.
        given["prepare_threshold"] = int(given["prepare_threshold"]) or None
    return given


def _record_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _check_if_idle(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
    """Replace a connection that the server has closed, and with it all others in the pool.

    SQLAlchemy's own check would cost every transaction a round trip.
    """
    now = time.monotonic()
    if now - record.info.get("used_at", now) < IDLE_SECONDS:
        return
    try:
        with connection.transaction():
            connection.execute("")
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def _is_unreachable(error: DBAPIError) -> bool:
    if not isinstance(error.orig, psycopg.Error):
        return False
    # An error that the server reports has an SQLSTATE. One without it arose while connecting.
    state = error.orig.sqlstate
    return error.connection_invalidated or (
        isinstance(error, OperationalError) if state is None else state.startswith(_UNREACHABLE)
    )


def _shown(url: URL) -> str:
    # Not only the password is secret: the query may hold one as well.
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)
