"""Dead items, and the payloads that were replaced when one was replayed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from pipeline.batches.sql.items import ERROR_COLUMNS, RESULT_COLUMNS
from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, first, rows
from pipeline.database.state_literals import has_state
from pipeline.database.tables import batches, definitions, items, replays
from pipeline.domain.item import Stage

_COLUMNS = ("id", "batch_id", "position", "key", "label", "attempt", "attempts", "finished_at", *ERROR_COLUMNS)


def find_newest(
    connection: Connection,
    *,
    batch_id: int | None,
    tenant: str | None,
    before: int | None,
    limit: int,
    cause: str | None = None,
) -> list[Row]:
    """Return up to `limit` dead items, those of the newest batches and of the highest positions first.

    Args:
        batch_id: only of this batch; None: of all.
        tenant: only of its batches; None: of everybody's.
        before: only items with ids below.
        cause: only items of this cause; None: of any.
    """
    query = select(*(items.c[name] for name in _COLUMNS), batches.c.public_id, definitions.c.name.label("definition"))
    query = query.join(batches, batches.c.id == items.c.batch_id).join(definitions)
    query = query.where(has_state(items.c.state, "dead"))
    if batch_id is not None:
        query = query.where(items.c.batch_id == batch_id)
    if tenant is not None:
        query = query.where(batches.c.tenant == tenant)
    if before is not None:
        query = query.where(items.c.id < before)
    if cause is not None:
        query = query.where(items.c.cause == cause)
    # In the order of the index, which is also that of the ids.
    return rows(connection.execute(query.order_by(items.c.batch_id.desc(), items.c.id.desc()).limit(limit)))


def count_causes(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], *, by_definition: bool, look_at: int
) -> list[Row]:
    """Return the causes of the newest dead items, the most frequent first: `count`, `first_at`, `last_at`, `newest`.

    Args:
        conditions: on `items`, `batches` and `definitions`.
        by_definition: count the items of each `definition` apart.
        look_at: items that are grouped, at most.
    """
    columns = (items.c.id, items.c.cause, items.c.finished_at, definitions.c.name.label("definition"))
    newest = select(*columns).join(batches, batches.c.id == items.c.batch_id).join(definitions)
    newest = newest.where(has_state(items.c.state, "dead"), *conditions)
    looked_at = newest.order_by(items.c.batch_id.desc(), items.c.id.desc()).limit(look_at).subquery()
    groups = (looked_at.c.cause, looked_at.c.definition) if by_definition else (looked_at.c.cause,)
    number = func.count().label("count")
    query = select(
        *groups,
        number,
        func.min(looked_at.c.finished_at).label("first_at"),
        func.max(looked_at.c.finished_at).label("last_at"),
        func.max(looked_at.c.id).label("newest"),
    )
    return rows(connection.execute(query.group_by(*groups).order_by(number.desc(), *groups)))


def find_by_ids(connection: Connection, ids: Collection[int]) -> dict[int, Row]:
    """Return the dead items with these ids, by id."""
    query = select(*(items.c[name] for name in _COLUMNS), batches.c.public_id)
    query = query.join(batches, batches.c.id == items.c.batch_id)
    dialect = dialect_of(connection)
    found = rows(
        connection.execute(query.where(dialect.is_in_list(items.c.id, "ids")), {"ids": dialect.encode_list(ids)})
    )
    return {row["id"]: row for row in found}


def find_newest_batch(connection: Connection, below: int | None) -> Row | None:
    """Return the newest batch with dead items; `below`: only batches with ids below."""
    query = select(items.c.batch_id).where(has_state(items.c.state, "dead"))
    if below is not None:
        query = query.where(items.c.batch_id < below)
    # In the order of the index.
    newest = connection.scalar(query.order_by(items.c.batch_id.desc(), items.c.id.desc()).limit(1))
    return None if newest is None else first(connection.execute(select(batches).where(batches.c.id == newest)))


def replace_payload(connection: Connection, item_id: int, payload: str, key_id: str | None, now: datetime) -> bool:
    """Give a dead item another payload, which starts at the first stage, and keep the one before.

    Return False if the item is not dead.
    """
    chosen = items.c.id == item_id, has_state(items.c.state, "dead")
    before = connection.scalar(select(items.c.payload).where(*chosen).with_for_update())
    if before is None:
        return False
    connection.execute(insert(replays).values(item_id=item_id, at=now, key_id=key_id, payload=before))
    cleared = dict.fromkeys(RESULT_COLUMNS)
    connection.execute(
        update(items).where(items.c.id == item_id).values(payload=payload, stage=Stage.CLASSIFY.value, **cleared)
    )
    return True


def find_replaced(connection: Connection, item_id: int) -> list[Row]:
    """Return the payloads that an item had before, the oldest first."""
    return rows(connection.execute(select(replays).where(replays.c.item_id == item_id).order_by(replays.c.at)))
