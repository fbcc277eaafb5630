"""Deleting old batches in parts.

The batch itself is deleted first, in the transaction that finds no reason to keep it. From then on nobody sees the
batch, so nobody can see only a part of it. Its items, events, deliveries and attempts have no readers left, and are
deleted span by span. A span is a range of positions in the input and in the log, which are counted alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from pipeline.batches.sql import exports, spans
from pipeline.batches.sql.items import id_range
from pipeline.database import totals
from pipeline.database.dialect import dialect_of
from pipeline.database.locks import skip_locked
from pipeline.database.row import Row, rows
from pipeline.database.tables import (
    POSITIONS_PER_BATCH,
    attempts,
    batch_parts,
    batches,
    bundles,
    deliveries,
    events,
    guards,
    interventions,
    items,
    pruned,
    replays,
)
from pipeline.delivery.rules.delivery import DeliveryState

_NOT_FINAL = (DeliveryState.PENDING.value, DeliveryState.SENDING.value, DeliveryState.PAUSED.value)


def read_page(connection: Connection, after: int, limit: int) -> list[Row]:
    """Return up to `limit` batches with ids above `after`, by id, which is roughly the order of their submission."""
    columns = (batches.c.id, batches.c.total, batches.c.created_at, batches.c.completed_at)
    return rows(connection.execute(select(*columns).where(batches.c.id > after).order_by(batches.c.id).limit(limit)))


def find_shared_bundles(connection: Connection, batch_id: int) -> list[int]:
    """Return the bundles that contain deliveries of a batch together with those of other batches.

    Once all deliveries of the batch are final this does not change: a bundle is created as a whole, of first attempts.
    """
    found = connection.scalars(select(deliveries.c.bundle_id).where(deliveries.c.batch_id == batch_id).distinct())
    own = [each for each in found if each is not None]
    if not own:
        return []
    dialect = dialect_of(connection)
    # Two statements: with stale statistics, a join would read the whole index on bundles.
    of_others = dialect.is_in_list(deliveries.c.bundle_id, "ids"), deliveries.c.batch_id != batch_id
    query = select(deliveries.c.bundle_id).where(*of_others).distinct()
    return sorted(connection.scalars(query, {"ids": dialect.encode_list(own)}))


def find_waiting_origins(connection: Connection, batch_id: int, bundle_ids: Sequence[int] = ()) -> list[str]:
    """Return the endpoints that have yet to receive data of a batch, by name.

    These are the endpoints of its own deliveries that are not final, and of other batches' deliveries in these bundles:
    the body of a bundle is made of all deliveries that ever joined it.
    """
    query = select(deliveries.c.origin).where(deliveries.c.state.in_(_NOT_FINAL)).distinct()
    found = set(connection.scalars(query.where(deliveries.c.batch_id == batch_id)))
    if bundle_ids:
        dialect = dialect_of(connection)
        bundled = query.where(dialect.is_in_list(deliveries.c.bundle_id, "ids"), deliveries.c.is_alone.is_(False))
        found.update(connection.scalars(bundled, {"ids": dialect.encode_list(bundle_ids)}))
    return sorted(found)


def count_deliveries(connection: Connection, batch_id: int) -> int:
    """Return how many deliveries a batch has."""
    query = select(func.count()).select_from(deliveries).where(deliveries.c.batch_id == batch_id)
    return int(connection.scalar(query) or 0)


def lock_completed(connection: Connection, batch_id: int, before: datetime) -> bool:
    """Lock a batch that completed before an instant. Return False if it did not, or another transaction holds it.

    A transaction that makes one of its deliveries pending again locks the batch first; see `locks.lock_against_prune`.
    """
    chosen = select(batches.c.id).where(batches.c.id == batch_id, batches.c.completed_at < before)
    return connection.scalar(chosen.with_for_update(skip_locked=True)) is not None


def keep_totals(connection: Connection, batch_id: int) -> None:
    """Keep what a batch that is about to be deleted adds to sums over all batches."""
    total, next_seq = connection.execute(
        select(batches.c.total, batches.c.next_seq).where(batches.c.id == batch_id)
    ).one()
    totals.add(connection, {totals.SUBMITTED_ITEMS: total, totals.EVENTS: next_seq - 1})


def delete_batch(connection: Connection, batch_id: int, bundle_ids: Sequence[int]) -> None:
    """Delete the row of a locked batch, but not yet its items, events, deliveries and attempts.

    Args:
        bundle_ids: bundles that it shares with other batches. Deliveries of those batches leave them, since the bytes
            of their bodies cannot be made again.
    """
    if bundle_ids:
        _lock_bundles(connection, bundle_ids)
        dialect = dialect_of(connection)
        others = (
            dialect.is_in_list(deliveries.c.bundle_id, "ids"),
            deliveries.c.bundle_id.is_not(None),
            deliveries.c.is_alone.is_(False),
            deliveries.c.batch_id != batch_id,
        )
        # Rows that another transaction holds are being replayed, which takes them out of their bundle, or deleted.
        leaving = update(deliveries).where(skip_locked(dialect, deliveries, *others)).values(is_alone=True)
        connection.execute(leaving, {"ids": dialect.encode_list(bundle_ids)})
    spans.forget(connection, batch_id)
    connection.execute(delete(batch_parts).where(batch_parts.c.batch_id == batch_id))
    connection.execute(delete(interventions).where(interventions.c.batch_id == batch_id))
    exports.delete_of(connection, batch_id)
    connection.execute(delete(guards).where(guards.c.batch_id == batch_id))
    connection.execute(delete(batches).where(batches.c.id == batch_id))


def mark_unfinished(connection: Connection, batch_id: int) -> None:
    """Record, in the transaction that deletes a batch, that its items, events and deliveries remain to be deleted."""
    connection.execute(insert(pruned).values(id=batch_id))


def find_unfinished(connection: Connection) -> list[int]:
    """Return the deleted batches of which some rows remain."""
    return list(connection.scalars(select(pruned.c.id).order_by(pruned.c.id)))


def lock_unfinished(connection: Connection, batch_id: int) -> bool:
    """Lock the remaining rows of a deleted batch. Return False if another process is deleting them or has done so."""
    chosen = select(pruned.c.id).where(pruned.c.id == batch_id).with_for_update(skip_locked=True)
    return connection.scalar(chosen) is not None


def last_position(connection: Connection, batch_id: int) -> int:
    """Return the highest remaining position in the input or the log of a batch, 0 if no rows remain."""
    last_item = connection.scalar(select(func.max(items.c.id)).where(items.c.id.between(*id_range(batch_id))))
    last_event = connection.scalar(select(func.max(events.c.seq)).where(events.c.batch_id == batch_id))
    return max(0 if last_item is None else last_item % POSITIONS_PER_BATCH, last_event or 0)


def next_position(connection: Connection, batch_id: int, low: int) -> int | None:
    """Return the lowest remaining position of a batch from `low` on; None if no rows remain there.

    Between the parts that a batch was uploaded in, there may be a million positions without rows.
    """
    first, last = id_range(batch_id)
    item = connection.scalar(select(func.min(items.c.id)).where(items.c.id.between(first + low, last)))
    event = connection.scalar(select(func.min(events.c.seq)).where(events.c.batch_id == batch_id, events.c.seq >= low))
    found = [] if item is None else [item % POSITIONS_PER_BATCH]
    return min(found if event is None else [*found, event], default=None)


def delete_span(connection: Connection, batch_id: int, low: int, high: int) -> tuple[int, int]:
    """Delete the remaining rows of a batch at positions from `low` up to but not including `high`.

    Return the numbers of items and of deliveries deleted.
    """
    deleted = _delete_deliveries(connection, batch_id, low, high)
    connection.execute(delete(events).where(events.c.batch_id == batch_id, events.c.seq >= low, events.c.seq < high))
    first = batch_id * POSITIONS_PER_BATCH
    # IS NOT NULL is the condition of the partial index.
    of_items = attempts.c.item_id.is_not(None), attempts.c.item_id >= first + low, attempts.c.item_id < first + high
    connection.execute(delete(attempts).where(*of_items))
    replaced = replays.c.item_id >= first + low, replays.c.item_id < first + high
    connection.execute(delete(replays).where(*replaced))
    found = connection.execute(delete(items).where(items.c.id >= first + low, items.c.id < first + high))
    return found.rowcount, deleted


def mark_finished(connection: Connection, batch_id: int) -> None:
    """Record that no rows of a deleted batch remain."""
    connection.execute(delete(pruned).where(pruned.c.id == batch_id))


def _delete_deliveries(connection: Connection, batch_id: int, low: int, high: int) -> int:
    span = deliveries.c.batch_id == batch_id, deliveries.c.seq >= low, deliveries.c.seq < high
    found = connection.execute(select(deliveries.c.id, deliveries.c.bundle_id).where(*span)).all()
    if not found:
        return 0
    bundled = sorted({row.bundle_id for row in found if row.bundle_id is not None})
    if bundled:
        _lock_bundles(connection, bundled)
    dialect = dialect_of(connection)
    connection.execute(
        delete(attempts).where(attempts.c.delivery_id.is_not(None), dialect.is_in_list(attempts.c.delivery_id, "ids")),
        {"ids": dialect.encode_list([row.id for row in found])},
    )
    deleted = connection.execute(delete(deliveries).where(*span)).rowcount
    if bundled:
        _delete_empty_bundles(connection, bundled)
    return deleted


def _lock_bundles(connection: Connection, ids: Sequence[int]) -> None:
    """Lock bundles before their deliveries are deleted.

    Of two batches that share a bundle, the second then sees what the first has left of the bundle.
    """
    dialect = dialect_of(connection)
    query = select(bundles.c.id).where(dialect.is_in_list(bundles.c.id, "ids")).order_by(bundles.c.id).with_for_update()
    connection.execute(query, {"ids": dialect.encode_list(ids)})


def _delete_empty_bundles(connection: Connection, ids: list[int]) -> None:
    dialect = dialect_of(connection)
    members = select(deliveries.c.id).where(deliveries.c.bundle_id == bundles.c.id).exists()
    empty = delete(bundles).where(dialect.is_in_list(bundles.c.id, "ids"), ~members).returning(bundles.c.id)
    deleted = list(connection.scalars(empty, {"ids": dialect.encode_list(ids)}))
    its_attempts = attempts.c.bundle_id.is_not(None), dialect.is_in_list(attempts.c.bundle_id, "ids")
    connection.execute(delete(attempts).where(*its_attempts), {"ids": dialect.encode_list(deleted)})
