"""What is read for metrics: from counters of batches and partial indexes, never from finished items."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, case, func, select, text

from pipeline.batches.sql import items as batch_items
from pipeline.batches.sql import spans as batch_spans
from pipeline.database.instant import Instant
from pipeline.database.state_literals import has_state
from pipeline.database.tables import (
    alerts,
    batches,
    definitions,
    deliveries,
    endpoints,
    items,
    leases,
    spans,
    unreleased,
)
from pipeline.domain.item import Stage

#: Deliveries of a state are counted up to here; one more means more.
MOST_DELIVERIES = 100_000

_IN_FLIGHT = ("queued", "running")


class DefinitionCounts(NamedTuple):
    """What the batches of all versions of a definition have.

    Args:
        submitted: items of batches that are accepted.
        events: in their logs.
        dead: items.
        left: items of open batches that are not final.
        open: open batches.
    """

    name: str
    submitted: int
    events: int
    dead: int
    left: int
    open: int


def read_definitions(connection: Connection) -> list[DefinitionCounts]:
    """Return what each definition has. This reads all batches."""
    found = connection.execute(_DEFINITIONS)
    return [DefinitionCounts(name, *map(int, numbers)) for name, *numbers in found]


_IS_ACCEPTED = batches.c.state != "accepting"
_IS_OPEN = _IS_ACCEPTED & batches.c.completed_at.is_(None)
_LEFT = batches.c.total - batches.c.succeeded - batches.c.dead - batches.c.cancelled
_DEFINITIONS: Select[Any] = (
    select(
        definitions.c.name,
        # Batches that are still being accepted may vanish again.
        func.sum(case((_IS_ACCEPTED, batches.c.total), else_=0)),
        func.sum(batches.c.next_seq - 1),
        func.sum(batches.c.dead),
        func.sum(case((_IS_OPEN, _LEFT), else_=0)),
        func.count(case((_IS_OPEN, 1))),
    )
    .join_from(batches, definitions, definitions.c.id == batches.c.definition_id)
    .group_by(definitions.c.name)
    .order_by(definitions.c.name)
)


class OpenBatches(NamedTuple):
    """Open batches of one state, and how many of them are beyond their deadline."""

    state: str
    number: int
    late: int


def read_open(connection: Connection, now: datetime) -> list[OpenBatches]:
    """Return the open batches by state."""
    return [OpenBatches(*row) for row in connection.execute(_OPEN, {"now": now})]


_OPEN: Select[Any] = (
    select(
        batches.c.state,
        func.count(),
        func.count(case((batches.c.deadline < bindparam("now", type_=Instant), 1))),
    )
    .where(batches.c.completed_at.is_(None))
    .group_by(batches.c.state)
)


class Flight(NamedTuple):
    """Items that are released and not final.

    Args:
        queued, running: by definition.
        oldest_lease: by stage, the earliest end of a lease of an item that nobody has claimed.
        overdue: leases that are over.
    """

    queued: Counter[str]
    running: Counter[str]
    oldest_lease: dict[str, datetime]
    overdue: int


def read_flight(connection: Connection, now: datetime) -> Flight:
    """Return what is in flight: as many items as the window of dispatch holds."""
    names = _names_of_open(connection)
    queued: Counter[str] = Counter()
    running: Counter[str] = Counter()
    for each in batch_items.count_by_row(connection):
        name = names.get(each.batch_id)
        if name is not None:
            queued[name] += each.released - each.running
            running[name] += each.running
    oldest = {stage: until for stage, until in connection.execute(_UNCLAIMED)}
    overdue = connection.scalar(_OVERDUE, {"now": now}) or 0
    leases_of = {(batch_id, first): until for batch_id, first, until in connection.execute(_SPANS)}
    for span in batch_spans.find_live(connection):
        until = leases_of.get((span.batch_id, span.first))
        if not span.unclaimed or until is None:
            continue
        queued[names.get(span.batch_id, "")] += span.unclaimed
        oldest[Stage.CLASSIFY] = min(until, oldest.get(Stage.CLASSIFY, until))
        overdue += span.unclaimed * (until < now)
    return Flight(queued, running, {str(stage): until for stage, until in oldest.items()}, overdue)


def _names_of_open(connection: Connection) -> dict[int, str]:
    return {id_: name for id_, name in connection.execute(_NAMES)}


_NAMES = (
    select(batches.c.id, definitions.c.name)
    .join_from(batches, definitions, definitions.c.id == batches.c.definition_id)
    .where(batches.c.completed_at.is_(None))
)
_UNCLAIMED: Select[Any] = (
    select(items.c.stage, func.min(items.c.lease_until))
    .where(has_state(items.c.state, *_IN_FLIGHT), has_state(items.c.state, "queued"))
    .group_by(items.c.stage)
)
_OVERDUE = (
    select(func.count())
    .select_from(items)
    .where(has_state(items.c.state, *_IN_FLIGHT), items.c.lease_until < bindparam("now", type_=Instant))
)
_SPANS = select(spans.c.batch_id, spans.c.first, spans.c.lease_until)


def count_in_flight(connection: Connection) -> Counter[str]:
    """Return how many items are released or run, by stage."""
    found = Counter({stage: number for stage, number in connection.execute(_BY_STAGE)})
    found[Stage.CLASSIFY.value] += sum(span.unclaimed for span in batch_spans.find_live(connection))
    return found


_BY_STAGE: Select[Any] = (
    select(items.c.stage, func.count()).where(has_state(items.c.state, *_IN_FLIGHT)).group_by(items.c.stage)
)


def oldest_fresh(connection: Connection) -> datetime | None:
    """Return when the oldest batch of which items were never released was accepted, if it may release them."""
    found: datetime | None = connection.scalar(_FRESH)
    return found


_FRESH = (
    select(func.min(batches.c.created_at))
    .join_from(unreleased, batches, batches.c.id == unreleased.c.batch_id)
    .where(batches.c.state.in_(["open", "running"]), unreleased.c.first <= batches.c.last_position)
)


def oldest_retry(connection: Connection) -> datetime | None:
    """Return when the item that waits for its next attempt is due, or was, for which that is earliest."""
    found = [connection.scalar(_RETRY), connection.scalar(_SUSPECT)]
    return min((at for at in found if at is not None), default=None)


# One index probe for each open batch. ORDER BY with LIMIT instead of min(), see `execution.sql.pending_batches`.
_RETRY = (
    text(
        """
        SELECT min(found.due_at) AS due_at
        FROM (SELECT (SELECT i.due_at FROM items i
                      WHERE i.batch_id = b.id AND i.state = 'pending' AND i.due_at IS NOT NULL AND i.crashes = 0
                      ORDER BY i.due_at LIMIT 1) AS due_at
              FROM batches b WHERE b.completed_at IS NULL AND b.state IN ('open', 'running')) AS found
        """
    )
    .columns(due_at=Instant)
)  # fmt: skip
_SUSPECT = (
    text(
        """
        SELECT min(i.due_at) AS due_at FROM items i JOIN batches b ON b.id = i.batch_id
        WHERE i.crashes > 0 AND i.state = 'pending' AND b.state IN ('open', 'running')
        """
    )
    .columns(due_at=Instant)
)  # fmt: skip


def count_suspects(connection: Connection) -> int:
    """Return how many items took a worker with them and are not final."""
    return connection.scalar(_SUSPECTS) or 0


_SUSPECTS = (
    select(func.count()).select_from(items).where(text("crashes > 0"), has_state(items.c.state, "pending", *_IN_FLIGHT))
)


def count_deliveries(connection: Connection) -> dict[str, int]:
    """Return how many deliveries there are of each state that is not final by success, up to `MOST_DELIVERIES` + 1."""
    return {state: connection.scalar(query) or 0 for state, query in _DELIVERIES.items()}


def _capped(state: str, *indexed: str) -> Select[Any]:
    chosen = select(deliveries.c.id).where(
        has_state(deliveries.c.state, *indexed), has_state(deliveries.c.state, state)
    )
    return select(func.count()).select_from(chosen.limit(MOST_DELIVERIES + 1).subquery())


_DELIVERIES = {
    "pending": _capped("pending", "pending"),
    "sending": _capped("sending", "sending"),
    # The condition of their index.
    "dead": _capped("dead", "paused", "dead"),
    "paused": _capped("paused", "paused", "dead"),
}


def count_overdue_deliveries(connection: Connection, now: datetime) -> int:
    """Return how many deliveries are being sent under a lease that is over."""
    return connection.scalar(_OVERDUE_DELIVERIES, {"now": now}) or 0


_OVERDUE_DELIVERIES = (
    select(func.count())
    .select_from(deliveries)
    .where(has_state(deliveries.c.state, "sending"), deliveries.c.lease_until < bindparam("now", type_=Instant))
)


def count_endpoints(connection: Connection) -> Counter[str]:
    """Return how many endpoints there are of each state."""
    return Counter({state: number for state, number in connection.execute(_ENDPOINTS)})


_STATE = case((endpoints.c.disabled_at.is_not(None), "disabled"), else_=endpoints.c.breaker)
_ENDPOINTS: Select[Any] = select(_STATE, func.count()).group_by(_STATE)


def count_alerts(connection: Connection) -> Counter[str]:
    """Return how many alerts fire, by severity."""
    return Counter({severity: number for severity, number in connection.execute(_ALERTS)})


_ALERTS: Select[Any] = (
    select(alerts.c.severity, func.count()).where(has_state(alerts.c.state, "firing")).group_by(alerts.c.severity)
)


def live_leases(connection: Connection, now: datetime) -> list[str]:
    """Return the names of all leases that are held."""
    return list(connection.scalars(select(leases.c.name).where(leases.c.until > now)))
