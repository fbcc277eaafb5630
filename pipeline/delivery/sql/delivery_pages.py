"""Pages of deliveries: each looks at a bounded number of rows, in the order of an index."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Subquery, and_, func, or_, select

from pipeline.database.row import Row, rows
from pipeline.database.state_literals import has_state
from pipeline.database.tables import deliveries, events
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.sql.search import DeliveryFilters, select_rows

#: States whose deliveries to an endpoint have an index.
_STOPPED = (DeliveryState.DEAD, DeliveryState.PAUSED)


class PagePosition(NamedTuple):
    """The last delivery of a page.

    Args:
        seq: of its event; None: the list is not one of a batch, and is in the order of the ids.
    """

    seq: int | None
    id: int


def find_page(
    connection: Connection,
    wanted: DeliveryFilters,
    *,
    after: PagePosition | None,
    limit: int,
    look_at: int,
) -> tuple[list[Row], PagePosition | None]:
    """Return deliveries that pass a filter and where to go on; None: there are no more.

    Those of a batch come by the `seq` of their events, others by their ids, in either case the newest first.

    Args:
        limit: deliveries returned, at most.
        look_at: deliveries that are looked at, at most: not every filter has an index.
    """
    is_of_batch = bool(wanted.batch_ids)
    inner = _looked_at(wanted, after, look_at).subquery()
    order = (deliveries.c.seq.desc(), deliveries.c.id.desc()) if is_of_batch else (deliveries.c.id.desc(),)
    query = select_rows().where(deliveries.c.id.in_(select(inner.c.id)), *wanted.clauses()).order_by(*order)
    found = rows(connection.execute(query.limit(limit + 1)))
    if len(found) > limit:
        last = found[limit - 1]
        return found[:limit], PagePosition(last["seq"] if is_of_batch else None, last["id"])
    return found, _end_of(connection, inner, look_at, is_of_batch=is_of_batch)


def _looked_at(wanted: DeliveryFilters, after: PagePosition | None, look_at: int) -> Select[Any]:
    """Return the deliveries that a page looks at, by what an index serves."""
    query = select(deliveries.c.id, deliveries.c.seq).limit(look_at)
    if wanted.batch_ids:
        query = query.where(*(deliveries.c.batch_id == each for each in wanted.batch_ids))
        if wanted.item_id is not None:
            of_item = events.c.item_id == wanted.item_id, events.c.batch_id == wanted.batch_ids[0]
            query = query.where(deliveries.c.seq.in_(select(events.c.seq).where(*of_item)))
        if after is not None and after.seq is not None:
            same = and_(deliveries.c.seq == after.seq, deliveries.c.id < after.id)
            # The first condition bounds the range of the index.
            query = query.where(deliveries.c.seq <= after.seq, or_(deliveries.c.seq < after.seq, same))
        return query.order_by(deliveries.c.seq.desc(), deliveries.c.id.desc())
    if wanted.origin is not None and wanted.state in _STOPPED:
        query = query.where(deliveries.c.origin == wanted.origin, has_state(deliveries.c.state, wanted.state))
    below = [each for each in (None if after is None else after.id, wanted.before) if each is not None]
    if below:
        query = query.where(deliveries.c.id < min(below))
    return query.order_by(deliveries.c.id.desc())


def _end_of(connection: Connection, inner: Subquery, look_at: int, *, is_of_batch: bool) -> PagePosition | None:
    """Return the last delivery that was looked at; None: it was the last of all."""
    if (connection.scalar(select(func.count()).select_from(inner)) or 0) < look_at:
        return None
    order = (inner.c.seq, inner.c.id) if is_of_batch else (inner.c.id,)
    seq, last = connection.execute(select(inner.c.seq, inner.c.id).order_by(*order).limit(1)).one()
    return PagePosition(seq if is_of_batch else None, last)
