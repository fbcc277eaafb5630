"""Read all families of SQL in one transaction, at most every few seconds however many ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.context import Context
from pipeline.database import totals
from pipeline.database.dialect import dialect_of
from pipeline.database.schema import HEAD
from pipeline.database.trouble import log_failure
from pipeline.delivery.admission import callable_at
from pipeline.delivery.sql import claims
from pipeline.execution.dispatch import LEASE
from pipeline.log import get_logger
from pipeline.monitoring import families, sql
from pipeline.telemetry.families import Family
from pipeline.telemetry.meter import Labels, bound
from pipeline.version import installed_version

log = get_logger(__name__)

#: A reading this young is shown again.
FRESH_SECONDS = 5.0
#: A statement that takes longer fails the reading.
STATEMENT_SECONDS = 2.0
#: Nobody waits longer for a reading.
PATIENCE_SECONDS = 3.0

_WORKER_LEASE = "worker:"
_RUNNING = ("open", "running")
_SEVERITIES = ("info", "warning", "error", "critical")

#: A value of a family.
Sample = tuple[Family, Labels, float]


@dataclass(frozen=True, slots=True)
class CollectMoment:
    """When and on which installation is read.

    Args:
        lease: how long a message has to be claimed.
    """

    context: Context
    now: datetime

    @property
    def lease(self) -> timedelta:
        return self.context.lease

    def age(self, since: datetime | None) -> float:
        """Return the seconds since an instant: 0 if there is none, or if it lies ahead."""
        return 0.0 if since is None else max((self.now - since).total_seconds(), 0.0)


#: Reads some families.
Source = Callable[[Connection, CollectMoment], Iterable[Sample]]


def _read_items(connection: Connection, moment: CollectMoment) -> Iterator[Sample]:
    flight = sql.read_flight(connection, moment.now)
    stored = totals.read(connection)
    found = sql.read_definitions(connection)
    seen: set[str] = set()
    states: dict[tuple[str, str], float] = {}
    for each in found:
        queued, running = flight.queued[each.name], flight.running[each.name]
        pending = max(each.left - queued - running, 0)
        shown = {"pending": pending, "queued": queued, "running": running} if each.open else {}
        if each.open or each.dead:
            shown["dead"] = each.dead
        name = bound(each.name, seen) if shown else ""
        for state, number in shown.items():
            states[name, state] = states.get((name, state), 0) + number
    yield from ((families.ITEMS, labels, number) for labels, number in states.items())
    submitted = sum(each.submitted for each in found) + stored.get(totals.SUBMITTED_ITEMS, 0)
    yield families.SUBMITTED, (), submitted
    yield families.EVENTS, (), sum(each.events for each in found) + stored.get(totals.EVENTS, 0)
    for stage in ("classify", "enrich"):
        until = flight.oldest_lease.get(stage)
        yield families.RELEASED_AGE, (stage,), moment.age(None if until is None else until - moment.lease)
    yield families.OVERDUE, ("items",), flight.overdue
    yield families.OVERDUE, ("deliveries",), sql.count_overdue_deliveries(connection, moment.now)
    yield families.SUSPECTS, (), sql.count_suspects(connection)


def _read_batches(connection: Connection, moment: CollectMoment) -> Iterator[Sample]:
    found = sql.read_open(connection, moment.now)
    by_state = {each.state: each.number for each in found}
    yield families.BATCHES, ("accepting",), by_state.get("accepting", 0)
    yield families.BATCHES, ("running",), sum(by_state.get(state, 0) for state in _RUNNING)
    yield families.BATCHES, ("paused",), by_state.get("paused", 0)
    yield families.DEADLINE_MISSED, (), sum(each.late for each in found)
    yield families.DUE_AGE, ("fresh",), moment.age(sql.oldest_fresh(connection))
    yield families.DUE_AGE, ("retry",), moment.age(sql.oldest_retry(connection))


def _read_deliveries(connection: Connection, moment: CollectMoment) -> Iterator[Sample]:
    for state, number in sql.count_deliveries(connection).items():
        yield families.DELIVERIES, (state,), number
    waiting = [row for row in claims.find_waiting_endpoints(connection) if row["disabled_at"] is None]
    due = [row["due_at"] for row in waiting if callable_at(row, moment.now) <= moment.now]
    yield families.DELIVERY_DUE_AGE, (), moment.age(min(due, default=None))
    by_state = sql.count_endpoints(connection)
    for state in ("closed", "open", "half_open", "disabled"):
        yield families.ENDPOINTS, (state,), by_state[state]


def _read_processes(connection: Connection, moment: CollectMoment) -> Iterator[Sample]:
    held = sql.live_leases(connection, moment.now)
    yield families.DISPATCHER_UP, (), float(any(name.partition(":")[0] == LEASE for name in held))
    yield families.WORKERS, (), sum(name.startswith(_WORKER_LEASE) for name in held)
    yield families.BUILD_INFO, (installed_version(), HEAD, dialect_of(connection).name), 1


def _read_alerts(connection: Connection, moment: CollectMoment) -> Iterator[Sample]:
    firing = sql.count_alerts(connection)
    yield from ((families.ALERTS, (severity,), firing[severity]) for severity in _SEVERITIES)


#: What is read. A part with something new to show adds its source here, and its families to `SQL_FAMILIES`.
SOURCES: tuple[Source, ...] = (_read_items, _read_batches, _read_deliveries, _read_processes, _read_alerts)

Values = Mapping[Family, Mapping[Labels, float]]


@dataclass(frozen=True, slots=True)
class Collected:
    """What is shown of SQL, with what is said about the reading.

    Args:
        values: by family and labels; nothing of SQL, if the reading failed.
    """

    values: Values
    is_success: bool


@dataclass(frozen=True, slots=True)
class _Reading:
    values: Values | None
    seconds: float
    at: float


class Collector:
    """Reads on a separate thread, so that a database that hangs keeps nobody waiting for long.

    Args:
        seconds: a monotonic clock.
    """

    def __init__(
        self,
        context: Context,
        sources: Sequence[Source] = SOURCES,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context, self._sources, self._seconds = context, sources, seconds
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pipeline-collect")
        self._pending: Future[_Reading] | None = None
        self._latest: _Reading | None = None

    def close(self) -> None:
        """Read no more."""
        self._thread.shutdown(wait=False)

    def collect(self) -> Collected:
        """Return the latest reading; read first if that is old. Never raises."""
        reading = self._fresh() or self._read_soon()
        values: dict[Family, Mapping[Labels, float]] = {}
        if reading is None or reading.values is None:
            values[families.COLLECT_SUCCESS] = {(): 0}
        else:
            values |= reading.values
            values[families.COLLECT_AGE] = {(): max(self._seconds() - reading.at, 0.0)}
            values[families.COLLECT_SUCCESS] = {(): 1}
        if reading is not None:
            values[families.COLLECT_SECONDS] = {(): reading.seconds}
        return Collected(values, is_success=reading is not None and reading.values is not None)

    def _fresh(self) -> _Reading | None:
        reading = self._latest
        return None if reading is None or self._seconds() - reading.at >= FRESH_SECONDS else reading

    def _read_soon(self) -> _Reading | None:
        """Return a new reading, which several callers may wait for; None if it takes too long."""
        with self._lock:
            fresh = self._fresh()
            if fresh is not None:
                # Another caller was faster.
                return fresh
            if self._pending is None:
                self._pending = self._thread.submit(self._read)
            pending = self._pending
        try:
            return pending.result(PATIENCE_SECONDS)
        except NotInTime:
            return None

    def _read(self) -> _Reading:
        began = self._seconds()
        values: Values | None = None
        try:
            values = read_all(self._context, self._sources)
        except Exception as error:
            log_failure(log, "metrics_not_collected", error)
        ended = self._seconds()
        with self._lock:
            self._pending = None
            self._latest = _Reading(values, ended - began, ended)
            return self._latest


def read_all(context: Context, sources: Sequence[Source] = SOURCES) -> Values:
    """Return all families of SQL, as of one moment.

    Raises:
        Unreachable: the database does not answer, or not soon enough.
    """
    found: dict[Family, dict[Labels, float]] = {}
    with context.database.read() as connection, dialect_of(connection).limit_statements(connection, STATEMENT_SECONDS):
        moment = CollectMoment(context, context.now())
        for source in sources:
            for family, labels, value in source(connection, moment):
                found.setdefault(family, {})[labels] = float(value)
    return found
