"""Old batches and what hangs on them, deleted in parts.

The batch itself goes first, in the transaction that finds nothing against it: from then on there is no such batch to
anybody, and no view shows a part of one. What hung on it has no reader left and goes span by span: positions in the
input and positions in the log, which are counted alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from pipeline.batches.sql.items import ids_of
from pipeline.database.dialect import dialect_of
from pipeline.database.locks import unlocked
from pipeline.database.row import Row, rows
from pipeline.database.tables import (
    POSITIONS_PER_BATCH,
    attempts,
    batches,
    bundles,
    deliveries,
    events,
    items,
    pruned,
)
from pipeline.delivery.rules.delivery import DeliveryState

_NOT_FINAL = (DeliveryState.PENDING.value, DeliveryState.SENDING.value, DeliveryState.PAUSED.value)


def page(connection: Connection, after: int, limit: int) -> list[Row]:
    """Return batches with ids above `after`, by id, hence about in the order in which they were submitted."""
    columns = (batches.c.id, batches.c.total, batches.c.created_at, batches.c.completed_at)
    return rows(connection.execute(select(*columns).where(batches.c.id > after).order_by(batches.c.id).limit(limit)))


def shared(connection: Connection, batch_id: int) -> list[int]:
    """Return the bundles in which deliveries of a batch travel with those of other batches.

    They stay the same once all deliveries of the batch are final: a bundle is made at once, of first attempts.
    """
    found = connection.scalars(select(deliveries.c.bundle_id).where(deliveries.c.batch_id == batch_id).distinct())
    own = [each for each in found if each is not None]
    if not own:
        return []
    dialect = dialect_of(connection)
    # Two statements: a join would read the index of bundles as a whole where statistics hold it for small.
    of_others = dialect.is_in_list(deliveries.c.bundle_id, "ids"), deliveries.c.batch_id != batch_id
    query = select(deliveries.c.bundle_id).where(*of_others).distinct()
    return sorted(connection.scalars(query, {"ids": dialect.encode_list(own)}))


def undelivered(connection: Connection, batch_id: int, bundled: Sequence[int] = ()) -> list[str]:
    """Return the endpoints that still are to receive something made of a batch, by name.

    That is its own deliveries, and those of other batches that travel with them in these bundles: the body of a bundle
    is made of all that ever joined it.
    """
    query = select(deliveries.c.origin).where(deliveries.c.state.in_(_NOT_FINAL)).distinct()
    found = set(connection.scalars(query.where(deliveries.c.batch_id == batch_id)))
    if bundled:
        dialect = dialect_of(connection)
        travelling = query.where(dialect.is_in_list(deliveries.c.bundle_id, "ids"), deliveries.c.is_alone.is_(False))
        found.update(connection.scalars(travelling, {"ids": dialect.encode_list(bundled)}))
    return sorted(found)


def count_deliveries(connection: Connection, batch_id: int) -> int:
    """Return how many deliveries a batch has."""
    query = select(func.count()).select_from(deliveries).where(deliveries.c.batch_id == batch_id)
    return int(connection.scalar(query) or 0)


def lock(connection: Connection, batch_id: int, before: datetime) -> bool:
    """Lock a batch that completed before an instant; False where it did not, or another transaction has to do with it.

    Whoever makes a delivery of it pending again holds it first, see `locks.keep`.
    """
    chosen = select(batches.c.id).where(batches.c.id == batch_id, batches.c.completed_at < before)
    return connection.scalar(chosen.with_for_update(skip_locked=True)) is not None


def begin(connection: Connection, batch_id: int, bundled: Sequence[int]) -> None:
    """Delete a batch that is locked; what hung on it is still there.

    Deliveries of others that travelled with its own leave their bundles: their bytes cannot be made again.
    """
    if bundled:
        _hold(connection, bundled)
        dialect = dialect_of(connection)
        others = (
            dialect.is_in_list(deliveries.c.bundle_id, "ids"),
            deliveries.c.bundle_id.is_not(None),
            deliveries.c.is_alone.is_(False),
            deliveries.c.batch_id != batch_id,
        )
        # What another transaction holds is just leaving by a replay, or deleted.
        leaving = update(deliveries).where(unlocked(dialect, deliveries, *others)).values(is_alone=True)
        connection.execute(leaving, {"ids": dialect.encode_list(bundled)})
    connection.execute(delete(batches).where(batches.c.id == batch_id))


def leave(connection: Connection, batch_id: int) -> None:
    """Note that what hung on a batch is still to be deleted, in the transaction that deletes the batch."""
    connection.execute(insert(pruned).values(id=batch_id))


def left(connection: Connection) -> list[int]:
    """Return the batches that are gone and of which something is left."""
    return list(connection.scalars(select(pruned.c.id).order_by(pruned.c.id)))


def hold(connection: Connection, batch_id: int) -> bool:
    """Lock what is left of a batch; False where another is at it just now, or has done it."""
    chosen = select(pruned.c.id).where(pruned.c.id == batch_id).with_for_update(skip_locked=True)
    return connection.scalar(chosen) is not None


def last_position(connection: Connection, batch_id: int) -> int:
    """Return the highest position that is left of a batch, in its input or in its log; 0 where nothing is."""
    last_item = connection.scalar(select(func.max(items.c.id)).where(items.c.id.between(*ids_of(batch_id))))
    last_event = connection.scalar(select(func.max(events.c.seq)).where(events.c.batch_id == batch_id))
    return max(0 if last_item is None else last_item % POSITIONS_PER_BATCH, last_event or 0)


def remove(connection: Connection, batch_id: int, low: int, high: int) -> tuple[int, int]:
    """Delete what is left of a batch at positions from `low` up to, not including, `high`.

    Returns:
        how many items and how many deliveries that were.
    """
    gone = _remove_deliveries(connection, batch_id, low, high)
    connection.execute(delete(events).where(events.c.batch_id == batch_id, events.c.seq >= low, events.c.seq < high))
    first = batch_id * POSITIONS_PER_BATCH
    # Not null is what its index holds.
    of_items = attempts.c.item_id.is_not(None), attempts.c.item_id >= first + low, attempts.c.item_id < first + high
    connection.execute(delete(attempts).where(*of_items))
    found = connection.execute(delete(items).where(items.c.id >= first + low, items.c.id < first + high))
    return found.rowcount, gone


def end(connection: Connection, batch_id: int) -> None:
    """Note that nothing is left of a batch."""
    connection.execute(delete(pruned).where(pruned.c.id == batch_id))


def _remove_deliveries(connection: Connection, batch_id: int, low: int, high: int) -> int:
    span = deliveries.c.batch_id == batch_id, deliveries.c.seq >= low, deliveries.c.seq < high
    found = connection.execute(select(deliveries.c.id, deliveries.c.bundle_id).where(*span)).all()
    if not found:
        return 0
    bundled = sorted({row.bundle_id for row in found if row.bundle_id is not None})
    if bundled:
        _hold(connection, bundled)
    dialect = dialect_of(connection)
    connection.execute(
        delete(attempts).where(attempts.c.delivery_id.is_not(None), dialect.is_in_list(attempts.c.delivery_id, "ids")),
        {"ids": dialect.encode_list([row.id for row in found])},
    )
    gone = connection.execute(delete(deliveries).where(*span)).rowcount
    if bundled:
        _remove_bundles(connection, bundled)
    return gone


def _hold(connection: Connection, ids: Sequence[int]) -> None:
    """Lock bundles before their deliveries: of two batches that share one, the second sees what the first has left."""
    dialect = dialect_of(connection)
    held = select(bundles.c.id).where(dialect.is_in_list(bundles.c.id, "ids")).order_by(bundles.c.id).with_for_update()
    connection.execute(held, {"ids": dialect.encode_list(ids)})


def _remove_bundles(connection: Connection, ids: list[int]) -> None:
    dialect = dialect_of(connection)
    members = select(deliveries.c.id).where(deliveries.c.bundle_id == bundles.c.id).exists()
    without = delete(bundles).where(dialect.is_in_list(bundles.c.id, "ids"), ~members).returning(bundles.c.id)
    gone = list(connection.scalars(without, {"ids": dialect.encode_list(ids)}))
    its_attempts = attempts.c.bundle_id.is_not(None), dialect.is_in_list(attempts.c.bundle_id, "ids")
    connection.execute(delete(attempts).where(*its_attempts), {"ids": dialect.encode_list(gone)})
