"""Batches: accepted, counted, completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, bindparam, case, delete, func, insert, select, update

from pipeline.batches.sql.items import ids_of
from pipeline.database.row import Row, first, rows
from pipeline.database.tables import batches, definitions, items
from pipeline.domain.batch import BatchState


def add(connection: Connection, row: Mapping[str, Any]) -> int:
    """Insert a batch in state `accepting`; return its id."""
    inserted = connection.execute(
        insert(batches).values(state=BatchState.ACCEPTING.value, total=0, **row).returning(batches.c.id)
    )
    return int(inserted.scalar_one())


def accept(connection: Connection, batch_id: int, total: int, now: datetime) -> bool:
    """Accepting → running: every item is there. False where the batch was discarded meanwhile."""
    statement = (
        update(batches)
        .where(batches.c.id == batch_id, batches.c.state == "accepting")
        .values(state=BatchState.RUNNING.value, total=total, started_at=now)
    )
    return connection.execute(statement).rowcount == 1


def is_accepted(connection: Connection, batch_id: int) -> bool:
    """Say whether a batch is there and was accepted."""
    state = connection.scalar(select(batches.c.state).where(batches.c.id == batch_id))
    return state is not None and state != BatchState.ACCEPTING


def discard(connection: Connection, batch_id: int, limit: int) -> int:
    """Delete up to `limit` items of a batch that is still accepting, and at last the batch. Return items deleted."""
    accepting = select(batches.c.id).where(batches.c.id == batch_id, batches.c.state == "accepting")
    chosen = select(items.c.id).where(items.c.id.between(*ids_of(batch_id)), accepting.exists())
    chosen = chosen.order_by(items.c.id).limit(limit)
    deleted = connection.execute(delete(items).where(items.c.id.in_(chosen))).rowcount
    if not deleted:
        connection.execute(delete(batches).where(batches.c.id == batch_id, batches.c.state == "accepting"))
    return deleted


def _rows() -> Select[Any]:
    return select(batches, definitions.c.name.label("definition"), definitions.c.stages).join(definitions)


def by_public_id(connection: Connection, public_id: str) -> Row | None:
    return first(connection.execute(_rows().where(batches.c.public_id == public_id)))


def by_idempotency_key(connection: Connection, key: str) -> Row | None:
    return first(connection.execute(_rows().where(batches.c.idempotency_key == key)))


def by_prefix(connection: Connection, prefix: str, limit: int = 5) -> list[Row]:
    """Return batches whose id begins with `prefix`."""
    query = _rows().where(batches.c.public_id.startswith(prefix, autoescape=True)).limit(limit)
    return rows(connection.execute(query))


def newest(connection: Connection, limit: int) -> list[Row]:
    """Return the batches submitted last, newest first."""
    return rows(connection.execute(_rows().order_by(batches.c.id.desc()).limit(limit)))


def by_ids(connection: Connection, ids: Sequence[int]) -> list[Row]:
    return rows(connection.execute(_rows().where(batches.c.id.in_(ids))))


def exists(connection: Connection, batch_id: int) -> bool:
    """Say whether there is a batch; one that was pruned is gone."""
    return connection.scalar(select(batches.c.id).where(batches.c.id == batch_id)) is not None


def is_complete(connection: Connection, batch_id: int) -> bool:
    """Say whether every item of a batch is final."""
    return connection.scalar(select(batches.c.completed_at).where(batches.c.id == batch_id)) is not None


def open_in(connection: Connection, *states: BatchState) -> list[int]:
    """Return the ids of batches in one of these states that are not complete, oldest first."""
    query = select(batches.c.id).where(batches.c.completed_at.is_(None), batches.c.state.in_(states))
    return list(connection.scalars(query.order_by(batches.c.id)))


def change_state(connection: Connection, batch_id: int, expected: Sequence[BatchState], to: BatchState) -> bool:
    """Move a batch between states that people choose; False where it was in none of `expected`."""
    statement = update(batches).where(batches.c.id == batch_id, batches.c.state.in_(expected)).values(state=to.value)
    return connection.execute(statement).rowcount == 1


def count(connection: Connection, batch_id: int, *, succeeded: int, dead: int, cancelled: int) -> Row:
    """Add finished items to the counters and reserve a `seq` for each. Return the row as it is now.

    The row stays locked until the transaction ends, so that `seq` has no gaps and is in commit order.
    """
    finished = {"now_succeeded": succeeded, "now_dead": dead, "now_cancelled": cancelled}
    return rows(connection.execute(_COUNT, {"batch": batch_id, **finished}))[0]


_NOW = {name: bindparam(f"now_{name}", type_=BigInteger) for name in ("succeeded", "dead", "cancelled")}
_COUNT = (
    update(batches)
    .where(batches.c.id == bindparam("batch"))
    .values(
        {name: batches.c[name] + number for name, number in _NOW.items()}
        | {"next_seq": batches.c.next_seq + _NOW["succeeded"] + _NOW["dead"] + _NOW["cancelled"]}
    )
    .returning(batches)
)


def reserve(connection: Connection, batch_id: int, number: int) -> int:
    """Reserve a `seq` for each of `number` events; return the first. The row stays locked, as by `count`."""
    statement = (
        update(batches)
        .where(batches.c.id == batch_id)
        .values(next_seq=batches.c.next_seq + number)
        .returning(batches.c.next_seq)
    )
    return int(connection.execute(statement).scalar_one()) - number


def complete(connection: Connection, batch_id: int, now: datetime) -> Row | None:
    """Complete a batch all of whose items are final, once; reserve the `seq` of its event. None: not now."""
    final = batches.c.succeeded + batches.c.dead + batches.c.cancelled
    statement = (
        update(batches)
        .where(
            batches.c.id == batch_id,
            batches.c.state != "accepting",
            batches.c.completed_at.is_(None),
            final >= batches.c.total,
        )
        .values(
            state=case((batches.c.state == "cancelled", "cancelled"), else_="completed"),
            completed_at=now,
            next_seq=batches.c.next_seq + 1,
        )
        .returning(batches)
    )
    return first(connection.execute(statement))


def reopen(connection: Connection, batch_id: int, replayed: int) -> bool:
    """Take replayed items out of the dead, and let the batch run again; False where it was pruned meanwhile."""
    statement = (
        update(batches)
        .where(batches.c.id == batch_id)
        .values(
            dead=batches.c.dead - replayed,
            state=case((batches.c.state == "completed", "running"), else_=batches.c.state),
            completed_at=None,
        )
    )
    return connection.execute(statement).rowcount == 1


def drift(connection: Connection, batch_id: int) -> dict[str, tuple[int, int]]:
    """Return which counters differ from the rows: counter → (stored, true).

    Counters and rows change in one transaction, so that one view of both needs no lock.
    """
    stored = connection.execute(select(batches).where(batches.c.id == batch_id)).mappings().one()
    query = select(items.c.state, func.count()).where(items.c.id.between(*ids_of(batch_id))).group_by(items.c.state)
    true: dict[str, int] = {state: number for state, number in connection.execute(query)}
    names = ("succeeded", "dead", "cancelled")
    return {name: (stored[name], true.get(name, 0)) for name in names if stored[name] != true.get(name, 0)}


def recount(connection: Connection, batch_id: int) -> dict[str, tuple[int, int]]:
    """Make the counters agree with the rows. Return what differed, as `drift` does.

    The batch row is locked first, so that nothing finishes in between.
    """
    connection.execute(select(batches.c.id).where(batches.c.id == batch_id).with_for_update())
    found = drift(connection, batch_id)
    if found:
        true = {name: number for name, (_, number) in found.items()}
        connection.execute(update(batches).where(batches.c.id == batch_id).values(**true))
    return found
