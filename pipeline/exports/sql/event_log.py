"""The batch's log, as exports read it: sizes first, bodies once a part is planned."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Integer, Select, bindparam, func, null, select

from pipeline.database.tables import events, items
from pipeline.domain.event import RESULT_TYPES
from pipeline.exports.rules.part_range import LogEntry

_BATCH = bindparam("batch", type_=BigInteger)
_AFTER = bindparam("after", type_=BigInteger)
_LAST = bindparam("last", type_=BigInteger)
_LIMIT = bindparam("limit", type_=Integer)
_RESULTS = tuple(sorted(each.value for each in RESULT_TYPES))
#: Bytes of bodies and payloads in one page, unless its first row alone has more.
PAGE_BYTES = 2 * 1024 * 1024


class LoggedResult(NamedTuple):
    """A result in the log: its `seq`, the event's bytes, and the payload as JSON text if it was asked for."""

    seq: int
    body: bytes
    payload: str | None


def find_sizes(connection: Connection, batch_id: int, after: int, *, limit: int, with_payload: bool) -> list[LogEntry]:
    """Return the sizes of the events after a `seq`, in order."""
    found = connection.execute(_sizes(with_payload), {"batch": batch_id, "after": after, "limit": limit})
    return [LogEntry(seq, size, kind in RESULT_TYPES, at) for seq, size, kind, at in found]


def find_results(
    connection: Connection, batch_id: int, after: int, last: int, *, limit: int, with_payload: bool
) -> list[LoggedResult]:
    """Return the results after a `seq` up to another, in order, bounded by number and by bytes."""
    given = {"batch": batch_id, "after": after, "last": last, "limit": limit}
    end, total = None, 0
    for seq, size in connection.execute(_result_sizes(with_payload), given):
        total += size
        if end is not None and total > PAGE_BYTES:
            break
        end = seq
    if end is None:
        return []
    found = connection.execute(_bodies(with_payload), given | {"last": end})
    return [LoggedResult(seq, bytes(body), payload) for seq, body, payload in found]


def count_results(connection: Connection, batch_id: int, first: int, end: int) -> int:
    """Return how many results a batch's log has from a `seq` up to, and without, another."""
    is_within = events.c.batch_id == batch_id, events.c.seq >= first, events.c.seq < end
    query = select(func.count()).where(*is_within, events.c.type.in_(_RESULTS))
    return int(connection.scalar(query) or 0)


def find_result_seqs(connection: Connection, batch_id: int, first: int, last: int) -> list[int]:
    """Return the `seq` of each result from one `seq` to another, both included."""
    is_within = events.c.batch_id == batch_id, events.c.seq >= first, events.c.seq <= last
    return list(connection.scalars(select(events.c.seq).where(*is_within, events.c.type.in_(_RESULTS))))


@cache
def _sizes(with_payload: bool) -> Select[Any]:
    size = _size(with_payload)
    query = select(events.c.seq, size, events.c.type, events.c.created_at)
    return _joined(query, with_payload).where(_follows()).order_by(events.c.seq).limit(_LIMIT)


@cache
def _result_sizes(with_payload: bool) -> Select[Any]:
    query = _joined(select(events.c.seq, _size(with_payload)), with_payload)
    return query.where(_follows(), events.c.seq <= _LAST, _is_result()).order_by(events.c.seq).limit(_LIMIT)


@cache
def _bodies(with_payload: bool) -> Select[Any]:
    payload: Any = items.c.payload if with_payload else null()
    query = _joined(select(events.c.seq, events.c.body, payload), with_payload)
    return query.where(_follows(), events.c.seq <= _LAST, _is_result()).order_by(events.c.seq)


def _size(with_payload: bool) -> Any:
    size = func.length(events.c.body)
    return size + func.coalesce(func.length(items.c.payload), 0) if with_payload else size


def _joined(query: Select[Any], with_payload: bool) -> Select[Any]:
    return query.outerjoin(items, items.c.id == events.c.item_id) if with_payload else query


def _follows() -> Any:
    return (events.c.batch_id == _BATCH) & (events.c.seq > _AFTER)


def _is_result() -> Any:
    return events.c.type.in_(_RESULTS)
