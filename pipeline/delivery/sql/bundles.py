"""Bundles: deliveries that are sent in one request, the same ones in the same order at every attempt.

A bundle consists of all deliveries that ever joined it. One that is replayed alone is no longer claimed or recorded
with the bundle, but its data stays in the body, whose bytes must not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, TextClause, Update, bindparam, insert, text
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.json_rows import sort_by_id, table_rows
from pipeline.database.state_literals import recheck_state_sql
from pipeline.database.tables import RETRIED, bundles, deliveries
from pipeline.delivery.rules.bundle import Due
from pipeline.delivery.sql.outcomes import delivered_update

#: The columns by which due deliveries are selected; `d` is the delivery, `e` its event.
DUE_COLUMNS = """
    d.id, d.url, d.due_at, CASE WHEN d.is_alone THEN NULL ELSE d.bundle_id END AS bundle_id,
    d.bundle_id IS NULL AND d.attempt = 0 AND d.replays = 0 AND d.trigger IS NULL AND e.type LIKE 'item.%' AS joins,
    length(e.body) AS size"""

_now = bindparam("now", type_=Instant)
_ids: BindParameter[Any] = bindparam("ids", expanding=True)

_LONGEST_DUE = f"""
    SELECT id, due_at, lane FROM deliveries
    WHERE state = 'pending' AND origin = :origin AND {RETRIED} = %s AND due_at <= :now
    ORDER BY due_at, id LIMIT :window"""

# Reads at most a window of due deliveries, longest due first, however long the endpoint's backlog is.
_DUE = """
    SELECT {columns}
    FROM (SELECT id FROM ({first}) first UNION ALL SELECT id FROM ({again}) again) chosen
    JOIN deliveries d ON d.id = chosen.id
    JOIN events e ON e.batch_id = d.batch_id AND e.seq = d.seq
    WHERE d.state = 'pending' {condition}
    ORDER BY d.due_at, d.id {lock}"""

# Reads at most `limit` rows, however many wait.
_IS_READY = text(
    f"""
    SELECT count(*) >= :limit OR coalesce(max(CASE WHEN trigger IS NULL THEN 0 ELSE 1 END), 0) = 1
    FROM (SELECT trigger FROM deliveries
          WHERE state = 'pending' AND origin = :origin AND {RETRIED} = 0 AND due_at <= :now LIMIT :limit) due
    """
).bindparams(_now)

_JOIN = text(
    f"""
    UPDATE deliveries SET bundle_id = :bundle, state = 'sending', attempt = attempt + 1, worker = :worker,
        lease_until = :lease_until
    WHERE id IN :ids AND {recheck_state_sql("pending")} AND bundle_id IS NULL
    """
).bindparams(bindparam("lease_until", type_=Instant), _ids)

_MEMBERS = (
    f"SELECT id, bundle_id FROM deliveries WHERE bundle_id IN :ids AND NOT is_alone AND {recheck_state_sql('pending')}"
)
_READ_MEMBERS = text(_MEMBERS).bindparams(_ids)
_LOCK_MEMBERS = text(f"{_MEMBERS} ORDER BY id FOR UPDATE SKIP LOCKED").bindparams(_ids)

_CLAIM = text(
    f"""
    UPDATE deliveries SET state = 'sending', attempt = attempt + 1, worker = :worker, lease_until = :lease_until,
        replays = replays + CASE WHEN trigger IS NULL THEN 0 ELSE 1 END
    WHERE bundle_id IN :ids AND NOT is_alone AND {recheck_state_sql("pending")}
    """
).bindparams(bindparam("lease_until", type_=Instant), _ids)

# `+ 0`: deliveries are found by their bundle. Otherwise the planner may read all of them in the order of their events.
_READ = (
    text(
        """
        SELECT d.bundle_id, n.webhook_id, n.created_at AS bundled_at, d.id,
            NOT d.is_alone AND d.state = 'sending' AND d.worker = :worker AS is_claimed,
            d.url, d.origin, d.attempt, d.replays, d.trigger, d.created_at, e.body, b.schedule
        FROM deliveries d
        JOIN bundles n ON n.id = d.bundle_id
        JOIN events e ON e.batch_id = d.batch_id + 0 AND e.seq = d.seq + 0
        JOIN batches b ON b.id = d.batch_id + 0
        WHERE d.bundle_id IN :ids ORDER BY d.bundle_id, d.id
        """
    )
    .bindparams(_ids)
    .columns(bundled_at=Instant, created_at=Instant)
)


@cache
def _delivered(dialect: Dialect) -> Update:
    given = table_rows(deliveries, dialect, "id", "last_status", "finished_at")
    return delivered_update(
        given,
        deliveries.c.bundle_id == given.c.id,
        # The condition of the partial index.
        deliveries.c.bundle_id.is_not(None),
        deliveries.c.is_alone.is_(False),
    )


# The deliveries of a bundle may have different numbers of attempts, since what stops one does not stop the others. From
# now on they have the same: the request counts as an attempt of the one with the most.
_RECORD_OUTCOME = text(
    f"""
    UPDATE deliveries SET state = :state, attempt = :attempt_after, due_at = coalesce(:due_at, due_at),
        lease_until = NULL, worker = NULL, last_status = :status, last_error = :error, finished_at = :finished_at,
        replays = :replays_after, trigger = :trigger_after
    WHERE bundle_id = :id AND NOT is_alone AND {recheck_state_sql("sending")} AND worker = :worker
        AND attempt <= :attempt
    """
).bindparams(bindparam("due_at", type_=Instant), bindparam("finished_at", type_=Instant))


_HELD = f"""
    SELECT id, bundle_id, attempt FROM deliveries
    WHERE bundle_id IN :ids AND NOT is_alone AND {recheck_state_sql("sending")} AND worker = :worker ORDER BY id"""


class BundleMember(NamedTuple):
    """A delivery of a bundle, with its event.

    Args:
        is_claimed: whether it was claimed with the bundle, and not final or replayed alone before.
    """

    bundle_id: int
    webhook_id: str
    bundled_at: datetime
    id: int
    is_claimed: bool
    url: str
    origin: str
    attempt: int
    replays: int
    trigger: str | None
    created_at: datetime
    body: bytes
    schedule: str | None


def find_due(connection: Connection, origin: str, now: datetime, window: int, *, unordered: bool) -> list[Due]:
    """Return deliveries that are due at an endpoint, longest due first.

    They are locked: another sender skips them.

    Args:
        window: read at most this many.
        unordered: leave out deliveries in lanes.
    """
    query = _due(dialect_of(connection), unordered)
    return [due_from_row(row) for row in connection.execute(query, {"origin": origin, "now": now, "window": window})]


@cache
def _due(dialect: Dialect, unordered: bool) -> TextualSelect:
    query = _DUE.format(
        columns=DUE_COLUMNS,
        first=_LONGEST_DUE % 0,
        again=_LONGEST_DUE % 1,
        condition="AND d.lane IS NULL" if unordered else "",
        lock=dialect.row_lock_sql("FOR UPDATE OF d SKIP LOCKED"),
    )
    return text(query).bindparams(_now).columns(due_at=Instant)


def due_from_row(row: Any) -> Due:
    """Return a due delivery from the values of `DUE_COLUMNS`."""
    id_, url, due_at, bundle_id, joins, size = row
    return Due(id_, url, due_at, bundle_id, bool(joins), size)


def is_ready(connection: Connection, origin: str, now: datetime, limit: int) -> bool:
    """Return whether a bundle should be sent now.

    It should if `limit` first attempts at the endpoint are due, or if a user asked for an attempt, which does not wait.
    """
    return bool(connection.scalar(_IS_READY, {"origin": origin, "now": now, "limit": limit}))


def create(
    connection: Connection, row: Mapping[str, Any], ids: Sequence[int], *, worker: str, lease_until: datetime
) -> int:
    """Create a bundle of pending deliveries, and claim it. Return its id.

    Args:
        row: `webhook_id`, `url`, `origin` and `created_at` of the bundle.
    """
    created = connection.execute(insert(bundles).values(**row).returning(bundles.c.id)).scalar_one()
    connection.execute(_JOIN, {"bundle": created, "ids": ids, "worker": worker, "lease_until": lease_until})
    return int(created)


def claim(connection: Connection, ids: Sequence[int], *, worker: str, lease_until: datetime) -> list[int]:
    """Claim bundles, counting an attempt. Return the ids of those that were claimed.

    A bundle is left to a later claim if another transaction holds some of its deliveries.
    """
    whole = _whole(connection, ids)
    if whole:
        connection.execute(_CLAIM, {"ids": whole, "worker": worker, "lease_until": lease_until})
    return whole


def _whole(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Return the bundles whose pending deliveries no other transaction holds, and lock these deliveries."""
    if not dialect_of(connection).has_row_locks:
        return sorted({row.bundle_id for row in connection.execute(_READ_MEMBERS, {"ids": ids})})
    locked = {row.id for row in connection.execute(_LOCK_MEMBERS, {"ids": ids})}
    members = connection.execute(_READ_MEMBERS, {"ids": ids}).all()
    broken = {row.bundle_id for row in members if row.id not in locked}
    return sorted({row.bundle_id for row in members} - broken)


def read_members(connection: Connection, ids: Sequence[int], worker: str) -> list[BundleMember]:
    """Return every delivery that is or was part of these bundles, by bundle and in the order of the body."""
    return [BundleMember(*row) for row in connection.execute(_READ, {"ids": ids, "worker": worker})] if ids else []


def find_held(connection: Connection, ids: Sequence[int], worker: str) -> list[tuple[int, int, int]]:
    """Return (id, bundle, attempt) of the deliveries of these bundles that `worker` still holds, and lock them."""
    found = connection.execute(_held(dialect_of(connection)), {"ids": ids, "worker": worker})
    return [tuple(row) for row in found]


@cache
def _held(dialect: Dialect) -> TextClause:
    return text(f"{_HELD} {dialect.row_lock_sql('FOR UPDATE')}").bindparams(_ids)


def mark_delivered(connection: Connection, delivered: Sequence[Mapping[str, Any]], *, worker: str) -> set[int]:
    """Mark bundles as delivered: one mapping each with `id`, `last_status` and `finished_at`.

    Return the empty set: their attempts have rows of their own.
    """
    dialect = dialect_of(connection)
    connection.execute(_delivered(dialect), {"rows": dialect.encode_rows(sort_by_id(delivered)), "holder": worker})
    return set()


def record_outcomes(connection: Connection, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Record what was decided about bundles after a request, as `outcomes.record_outcomes` does for single ones."""
    connection.execute(_RECORD_OUTCOME, outcomes)
