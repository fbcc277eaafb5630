"""Making deliveries pending again: one, or all that match, span by span, which keeps each transaction short."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Subquery, func, select, update

from pipeline.database.dialect import dialect_of
from pipeline.database.locks import lock_against_prune, lock_rows
from pipeline.database.row import Row
from pipeline.database.tables import batches, deliveries, endpoints
from pipeline.delivery.rules.delivery import MANUAL, DeliveryState
from pipeline.delivery.sql.attempts import FIRST_SUCCESS_CLEARED, detach_first_successes

#: A delivery that is being sent cannot be replayed: its sender would overwrite the change.
_REPLAYABLE = tuple(state.value for state in DeliveryState if state is not DeliveryState.SENDING)
_WAITING = (DeliveryState.PENDING.value, DeliveryState.PAUSED.value)


def replay(connection: Connection, row: Row, now: datetime) -> bool:
    """Make a delivery pending, due now, as a user asked. Return False if it is being sent or no longer exists.

    Its event stays the same, and so do the webhook id and the body. A delivery that became final in a bundle leaves it
    and is sent under the id of its own event. If the bundle is still waiting, all of it is sent.
    """
    is_bundle_waiting = row["bundle_id"] is not None and not row["is_alone"] and row["state"] in _WAITING
    if is_bundle_waiting:
        same_bundle = (deliveries.c.bundle_id == row["bundle_id"]) & deliveries.c.is_alone.is_(False)
        statement = update(deliveries).where(same_bundle, deliveries.c.state.in_(_WAITING))
    else:
        lock_rows(connection, deliveries, [row["id"]])
        detach_first_successes(connection, [row["id"]])
        statement = (
            update(deliveries)
            .where(deliveries.c.id == row["id"], deliveries.c.state.in_(_REPLAYABLE))
            .values(is_alone=deliveries.c.bundle_id.is_not(None))
        )
    return connection.execute(statement.values(**_again(now))).rowcount > 0


def _again(now: datetime) -> dict[str, Any]:
    """Return what changes in a delivery that a user asked to send again."""
    return {"state": "pending", "due_at": now, "finished_at": None, "trigger": MANUAL, **FIRST_SUCCESS_CLEARED}


@dataclass(frozen=True, slots=True)
class Selection:
    """The deliveries that match every filter.

    Args:
        since: they became final at this time or later.
        until: they became final before this time.
        tenant: they are of its batches; None: of everybody's.
        of_disabled: select deliveries to disabled endpoints, which would only be paused again, instead of all others.
    """

    states: Sequence[str]
    batch_id: int | None = None
    origin: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    of_disabled: bool = False

    @property
    def position(self) -> Column[int]:
        """The column that spans are ranges of: events of the batch, or ids of all deliveries."""
        return deliveries.c.id if self.batch_id is None else deliveries.c.seq

    def span(self, low: int, high: int) -> Subquery:
        """Return all deliveries at positions from `low` up to but not including `high`.

        OFFSET keeps PostgreSQL from merging this query with the one around it. Stale statistics might otherwise make it
        apply the other conditions first, to all deliveries, again for each span.
        """
        inside = [self.position >= low, self.position < high]
        if self.batch_id is not None:
            inside.append(deliveries.c.batch_id == self.batch_id)
        return select(deliveries).where(*inside).offset(0).subquery("span")

    def conditions(self, span: Subquery) -> list[ColumnElement[bool]]:
        """Return the conditions for the selected deliveries of a span."""
        columns, disabled = span.c, select(endpoints.c.origin).where(endpoints.c.disabled_at.is_not(None))
        # A delivery is given up days after its event; the time it was given up shows which outage it belongs to.
        ended_at = func.coalesce(columns.finished_at, columns.created_at)
        found: list[ColumnElement[bool]] = [
            columns.state.in_(self.states),
            columns.origin.in_(disabled) if self.of_disabled else columns.origin.not_in(disabled),
        ]
        if self.origin is not None:
            found.append(columns.origin == self.origin)
        if self.tenant is not None:
            found.append(columns.batch_id.in_(select(batches.c.id).where(batches.c.tenant == self.tenant)))
        if self.since is not None:
            found.append(ended_at >= self.since)
        if self.until is not None:
            found.append(ended_at < self.until)
        return found


def last_position(connection: Connection, chosen: Selection) -> int:
    """Return the highest position, 0 if there are no deliveries."""
    query = select(func.max(chosen.position))
    if chosen.batch_id is not None:
        query = query.where(deliveries.c.batch_id == chosen.batch_id)
    return int(connection.scalar(query) or 0)


def count_selected(connection: Connection, chosen: Selection, low: int, high: int) -> int:
    """Return how many deliveries of a span are selected."""
    return sum(count_by_origin(connection, chosen, low, high).values())


def count_by_origin(connection: Connection, chosen: Selection, low: int, high: int) -> dict[str, int]:
    """Return how many deliveries of a span are selected, by endpoint."""
    span = chosen.span(low, high)
    query = select(span.c.origin, func.count()).where(*chosen.conditions(span)).group_by(span.c.origin)
    return {origin: number for origin, number in connection.execute(query)}


def make_pending(connection: Connection, chosen: Selection, low: int, high: int, now: datetime) -> int:
    """Make the selected deliveries of a span pending, due now, as a user asked. Return the count.

    Bundles stay together: the other deliveries of a selected one's bundle become pending with it.
    """
    span = chosen.span(low, high)
    query = select(span.c.id, span.c.batch_id, span.c.bundle_id).where(*chosen.conditions(span))
    selected = connection.execute(query).all()
    others = _bundled(connection, {row.bundle_id for row in selected if row.bundle_id is not None})
    existing = set(lock_against_prune(connection, {row.batch_id for row in (*selected, *others)}))
    found = _make_pending(connection, chosen.states, [row.id for row in selected if row.batch_id in existing], now)
    bundled = {row.bundle_id for row in found if not row.is_alone}
    rest = [row.id for row in others if row.batch_id in existing and row.bundle_id in bundled]
    _make_pending(connection, chosen.states, rest, now, wait_for_locks=True)
    return len(found)


def _bundled(connection: Connection, bundle_ids: Collection[int]) -> Sequence[Any]:
    """Return the deliveries that are sent in these bundles."""
    if not bundle_ids:
        return []
    dialect = dialect_of(connection)
    query = select(deliveries.c.id, deliveries.c.batch_id, deliveries.c.bundle_id).where(
        dialect.is_in_list(deliveries.c.bundle_id, "ids"), deliveries.c.is_alone.is_(False)
    )
    return connection.execute(query, {"ids": dialect.encode_list(sorted(bundle_ids))}).all()


def _make_pending(
    connection: Connection, states: Sequence[str], ids: Sequence[int], now: datetime, *, wait_for_locks: bool = False
) -> Sequence[Any]:
    """Make deliveries pending that are still in one of these states. Return them.

    Args:
        wait_for_locks: wait for rows that another transaction holds, instead of skipping them.
    """
    if not ids:
        return []
    dialect = dialect_of(connection)
    # In a form that no index on states serves: the rows are found by their ids.
    conditions = dialect.is_in_list(deliveries.c.id, "ids"), func.coalesce(deliveries.c.state, "").in_(states)
    chosen = select(deliveries.c.id).where(*conditions).order_by(deliveries.c.id)
    locked = chosen.with_for_update(skip_locked=not wait_for_locks)
    held = connection.scalars(locked, {"ids": dialect.encode_list(ids)}).all()
    # In a statement after the lock, so that it sees exactly the rows that change.
    detach_first_successes(connection, held)
    statement = (
        update(deliveries)
        .where(dialect.is_in_list(deliveries.c.id, "ids"))
        .values(**_again(now))
        .returning(deliveries.c.bundle_id, deliveries.c.is_alone)
    )
    return connection.execute(statement, {"ids": dialect.encode_list(held)}).all()
