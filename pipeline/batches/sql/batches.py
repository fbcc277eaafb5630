"""Batches: their states and counters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, bindparam, case, func, insert, select, update

from pipeline.batches.sql import exports, spans
from pipeline.batches.sql.completion_holds import is_held
from pipeline.batches.sql.items import id_range
from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.row import Row, first, rows
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, definitions, items
from pipeline.domain.batch import BatchState
from pipeline.domain.filters import BatchFilter
from pipeline.domain.ids import BATCH_ID_LENGTH, HIGHEST_CHARACTER
from pipeline.domain.item import ItemState


def add(connection: Connection, row: Mapping[str, Any]) -> int:
    """Insert a batch in state `accepting`. Return its id."""
    inserted = connection.execute(
        insert(batches).values(state=BatchState.ACCEPTING.value, total=0, **row).returning(batches.c.id)
    )
    return int(inserted.scalar_one())


def accept(
    connection: Connection,
    batch_id: int,
    total: int,
    now: datetime,
    items_digest: str | None = None,
    body_digest: str | None = None,
) -> bool:
    """Move a batch from accepting to running, once all its items are stored.

    Return False if the batch was discarded in the meantime.

    Args:
        items_digest: what another submission with the batch's idempotency key is compared with.
        body_digest: what another request with it is compared with; None: it is stored already, or there is none.
    """
    statement = (
        update(batches)
        .where(batches.c.id == batch_id, batches.c.state == "accepting")
        .values(
            state=BatchState.RUNNING.value,
            total=total,
            started_at=now,
            items_digest=items_digest,
            body_digest=func.coalesce(body_digest, batches.c.body_digest),
            cursor=None,
            last_position=_last_position(connection, batch_id),
        )
    )
    is_accepted = connection.execute(statement).rowcount == 1
    if is_accepted:
        spans.add_unreleased(connection, batch_id)
    return is_accepted


def make_releasable(connection: Connection, batch_id: int) -> bool:
    """Let the dispatcher release the fresh items of a batch that a program without spans has accepted.

    Return False if it may already, or if there are none: they were released by row.
    """
    statement = (
        update(batches)
        .where(batches.c.id == batch_id, batches.c.last_position.is_(None))
        .values(last_position=_last_position(connection, batch_id))
    )
    if connection.execute(statement).rowcount == 0:
        return False
    first_fresh = spans.first_fresh(connection, batch_id)
    if first_fresh is None:
        return False
    spans.add_unreleased(connection, batch_id, first_fresh)
    return True


def _last_position(connection: Connection, batch_id: int) -> int:
    """Return the highest position of a batch's items, which is above their number if some were refused."""
    last = connection.scalar(select(func.max(items.c.id)).where(items.c.id.between(*id_range(batch_id))))
    return 0 if last is None else last % POSITIONS_PER_BATCH


def find_id(connection: Connection, public_id: str) -> int | None:
    """Return the row id of the batch with this public id; None if there is none."""
    return connection.scalar(select(batches.c.id).where(batches.c.public_id == public_id))


def is_accepted(connection: Connection, batch_id: int) -> bool:
    """Return whether a batch exists and was accepted."""
    state = connection.scalar(select(batches.c.state).where(batches.c.id == batch_id))
    return state is not None and state != BatchState.ACCEPTING


def save_cursor(connection: Connection, batch_id: int, cursor: str | None) -> None:
    """Store how far the submission of a batch has come, as JSON. None: it cannot be resumed any more."""
    accepting = batches.c.id == batch_id, batches.c.state == "accepting"
    connection.execute(update(batches).where(*accepting).values(cursor=cursor))


def load_cursor(connection: Connection, batch_id: int) -> str | None:
    """Return how far the submission of a batch has come; None if it cannot be resumed."""
    query = select(batches.c.cursor).where(batches.c.id == batch_id, batches.c.state == "accepting")
    return connection.scalar(query)


def _rows() -> Select[Any]:
    of_definition = definitions.c.name.label("definition"), definitions.c.version.label("definition_version")
    return select(batches, *of_definition, definitions.c.stages).join(definitions)


def find_by_public_id(connection: Connection, public_id: str) -> Row | None:
    """Return the batch with exactly this id."""
    return first(connection.execute(_rows().where(batches.c.public_id == public_id)))


def find_by_idempotency_key(connection: Connection, tenant: str, key: str) -> Row | None:
    """Return the batch with an idempotency key, or None if there is none."""
    return first(connection.execute(_rows().where(batches.c.tenant == tenant, batches.c.idempotency_key == key)))


def find_by_prefix(connection: Connection, prefix: str, limit: int = 5) -> list[Row]:
    """Return up to `limit` batches whose public id starts with `prefix`."""
    query = _rows().where(batches.c.public_id.startswith(prefix, autoescape=True)).limit(limit)
    return rows(connection.execute(query))


def find_newest(connection: Connection, limit: int, *, before: int | None = None) -> list[Row]:
    """Return the batches that were submitted last, newest first.

    Args:
        before: only ids below.
    """
    query = _rows()
    if before is not None:
        query = query.where(batches.c.id < before)
    return rows(connection.execute(query.order_by(batches.c.id.desc()).limit(limit)))


def find_page(
    connection: Connection, chosen: BatchFilter, *, before: int | None, limit: int, look_at: int
) -> tuple[list[Row], int | None]:
    """Return batches that pass a filter, newest first, and the id below which to go on; None: there are no more.

    Args:
        before: only batches with lower ids.
        limit: batches returned, at most.
        look_at: batches that are looked at, at most: not every filter has an index.
    """
    looked_at = select(batches.c.id).order_by(batches.c.id.desc()).limit(look_at)
    if chosen.tenant is not None:
        looked_at = looked_at.where(batches.c.tenant == chosen.tenant)
    if before is not None:
        looked_at = looked_at.where(batches.c.id < before)
    if chosen.prefix is not None:
        # A range, which the index of ids serves whatever the collation is.
        last = chosen.prefix.ljust(BATCH_ID_LENGTH, HIGHEST_CHARACTER)
        looked_at = looked_at.where(batches.c.public_id.between(chosen.prefix, last))
    inner = looked_at.subquery()
    query = _rows().where(batches.c.id.in_(select(inner.c.id)))
    if chosen.state is not None:
        query = query.where(batches.c.state == chosen.state.value)
    if chosen.definition is not None:
        query = query.where(definitions.c.name == chosen.definition)
    if chosen.created_after is not None:
        query = query.where(batches.c.created_at > chosen.created_after)
    found = rows(connection.execute(query.order_by(batches.c.id.desc()).limit(limit + 1)))
    if len(found) > limit:
        return found[:limit], int(found[limit - 1]["id"])
    number, lowest = connection.execute(select(func.count(), func.min(inner.c.id))).one()
    return found, lowest if number == look_at else None


def find_newest_open(connection: Connection, tenant: str | None, limit: int) -> list[Row]:
    """Return the batches of a tenant, or of all, that are not complete, newest first."""
    query = _rows().where(batches.c.completed_at.is_(None))
    if tenant is not None:
        query = query.where(batches.c.tenant == tenant)
    return rows(connection.execute(query.order_by(batches.c.id.desc()).limit(limit)))


def find_by_ids(connection: Connection, ids: Sequence[int]) -> list[Row]:
    """Return the batches with these ids."""
    return rows(connection.execute(_rows().where(batches.c.id.in_(ids))))


def exists(connection: Connection, batch_id: int) -> bool:
    """Return whether a batch exists, that is, has not been pruned."""
    return is_complete(connection, batch_id) is not None


def is_complete(connection: Connection, batch_id: int) -> bool | None:
    """Return whether every item of a batch is final; None if the batch does not exist."""
    found: bool | None = connection.scalar(_IS_COMPLETE, {"batch": batch_id})
    return found


# Built once: whoever waits for a batch asks dozens of times a second.
_IS_COMPLETE = select(batches.c.completed_at.is_not(None)).where(batches.c.id == bindparam("batch"))


def find_versions(connection: Connection, ids: Collection[int]) -> list[Row]:
    """Return the state, counters and `next_seq` of these batches: what changes whenever something happens to them."""
    dialect = dialect_of(connection)
    return rows(connection.execute(_versions(dialect), {"ids": dialect.encode_list(ids)}))


@cache
def _versions(dialect: Dialect) -> Select[Any]:
    names = ("id", "next_seq", "state", "total", "succeeded", "dead", "cancelled", "completed_at")
    return select(*(batches.c[name] for name in names)).where(dialect.is_in_list(batches.c.id, "ids"))


def find_open(connection: Connection, *states: BatchState) -> list[int]:
    """Return the ids of the batches in one of these states that are not complete, oldest first."""
    query = select(batches.c.id).where(batches.c.completed_at.is_(None), batches.c.state.in_(states))
    return list(connection.scalars(query.order_by(batches.c.id)))


def find_complete(connection: Connection, ids: Collection[int]) -> list[int]:
    """Return which of these batches are complete."""
    dialect = dialect_of(connection)
    query = select(batches.c.id).where(dialect.is_in_list(batches.c.id, "ids"), batches.c.completed_at.is_not(None))
    return list(connection.scalars(query, {"ids": dialect.encode_list(ids)}))


def find_stopped_by_guards(connection: Connection) -> list[int]:
    """Return the ids of the batches that a guard has paused."""
    query = select(batches.c.id).where(batches.c.completed_at.is_(None), batches.c.state == "paused")
    return list(connection.scalars(query.where(batches.c.paused_by.startswith("guard:"))))


def find_resumable(connection: Connection) -> set[int]:
    """Return the batches whose submission can go on where it was interrupted, should that be so."""
    query = select(batches.c.id).where(batches.c.completed_at.is_(None), batches.c.state == "accepting")
    return set(connection.scalars(query.where(batches.c.cursor.is_not(None))))


def find_running(connection: Connection, ids: Collection[int]) -> set[int]:
    """Return which of these batches release items."""
    dialect = dialect_of(connection)
    query = select(batches.c.id).where(
        dialect.is_in_list(batches.c.id, "ids"), batches.c.state.in_(["open", "running"])
    )
    return set(connection.scalars(query, {"ids": dialect.encode_list(ids)}))


def lock(connection: Connection, batch_id: int) -> None:
    """Lock the row of a batch until the transaction ends."""
    connection.execute(select(batches.c.id).where(batches.c.id == batch_id).with_for_update())


def change_state(
    connection: Connection, batch_id: int, expected: Sequence[BatchState], to: BatchState, *, by: str = "manual"
) -> bool:
    """Move a batch to another state. Return False if it was in none of the states `expected`.

    Args:
        by: who or what pauses it.
    """
    chosen = update(batches).where(batches.c.id == batch_id, batches.c.state.in_(expected))
    statement = chosen.values(state=to.value, paused_by=by if to is BatchState.PAUSED else None)
    return connection.execute(statement).rowcount == 1


def add_to_counters(connection: Connection, batch_id: int, *, succeeded: int, dead: int, cancelled: int) -> Row:
    """Add finished items to the counters and reserve a `seq` for each. Return the updated row.

    The row stays locked until the transaction ends, so that `seq` has no gaps and follows the order of commits.
    """
    finished = {"added_succeeded": succeeded, "added_dead": dead, "added_cancelled": cancelled}
    return rows(connection.execute(_ADD_TO_COUNTERS, {"batch": batch_id, **finished}))[0]


_ADDED = {name: bindparam(f"added_{name}", type_=BigInteger) for name in ("succeeded", "dead", "cancelled")}
_ADD_TO_COUNTERS = (
    update(batches)
    .where(batches.c.id == bindparam("batch"))
    .values(
        {name: batches.c[name] + number for name, number in _ADDED.items()}
        | {"next_seq": batches.c.next_seq + _ADDED["succeeded"] + _ADDED["dead"] + _ADDED["cancelled"]}
    )
    .returning(batches)
)


def reserve_seqs(connection: Connection, batch_id: int, number: int) -> int:
    """Reserve a `seq` for each of `number` events. Return the first one.

    The row stays locked until the transaction ends.
    """
    statement = (
        update(batches)
        .where(batches.c.id == batch_id)
        .values(next_seq=batches.c.next_seq + number)
        .returning(batches.c.next_seq)
    )
    return int(connection.execute(statement).scalar_one()) - number


def complete(connection: Connection, batch_id: int, now: datetime) -> Row | None:
    """Complete a batch whose items are all final, and reserve the `seq` of its event.

    Return the updated row, or None if an item is not final, the batch is already complete, or a replay of it still
    moves items.
    """
    final = batches.c.succeeded + batches.c.dead + batches.c.cancelled
    statement = (
        update(batches)
        .where(
            batches.c.id == batch_id,
            batches.c.state.not_in(["accepting", "open"]),
            batches.c.completed_at.is_(None),
            final >= batches.c.total,
            ~is_held(batch_id, now),
        )
        .values(
            state=case((batches.c.state == "cancelled", "cancelled"), else_="completed"),
            completed_at=now,
            paused_by=None,
            next_seq=batches.c.next_seq + 1,
        )
        .returning(batches)
    )
    return first(connection.execute(statement))


def reopen(connection: Connection, batch_id: int, replayed: int, state: ItemState) -> bool:
    """Subtract replayed items from those in a state, and make a batch that is over run again.

    One that was cancelled in the meantime stays so: the sweeps cancel the replayed items as well. Return False if the
    batch was pruned in the meantime.
    """
    counter = batches.c[state.value]
    is_over = batches.c.completed_at.is_not(None) & batches.c.state.in_(["completed", "cancelled"])
    statement = (
        update(batches)
        .where(batches.c.id == batch_id)
        .values(
            {
                counter: counter - replayed,
                batches.c.state: case((is_over, "running"), else_=batches.c.state),
                batches.c.completed_at: None,
            }
        )
    )
    is_there = connection.execute(statement).rowcount == 1
    if is_there:
        exports.reopen(connection, batch_id)
    return is_there


def find_counter_drift(connection: Connection, batch_id: int) -> dict[str, tuple[int, int]]:
    """Return the counters that differ from the rows: counter → (stored, true).

    Counters and rows change in the same transaction, so reading both in one snapshot needs no lock.
    """
    stored = connection.execute(select(batches).where(batches.c.id == batch_id)).mappings().one()
    query = select(items.c.state, func.count()).where(items.c.id.between(*id_range(batch_id))).group_by(items.c.state)
    true: dict[str, int] = {state: number for state, number in connection.execute(query)}
    names = ("succeeded", "dead", "cancelled")
    return {name: (stored[name], true.get(name, 0)) for name in names if stored[name] != true.get(name, 0)}


def correct_counters(connection: Connection, batch_id: int) -> dict[str, tuple[int, int]]:
    """Set the counters to what the rows say. Return those that differed, as `find_counter_drift` does.

    The row of the batch is locked first, so that no item finishes in between.
    """
    lock(connection, batch_id)
    found = find_counter_drift(connection, batch_id)
    if found:
        true = {name: number for name, (_, number) in found.items()}
        connection.execute(update(batches).where(batches.c.id == batch_id).values(**true))
    return found
