"""Row locks, taken in one order everywhere, so that no two transactions wait for each other.

Statements that are given rows (release, claim, record) lock them in the order of their ids. Sweeps skip rows that
another transaction holds: those are being changed right now, and the next sweep looks at them again. Batches and
endpoints are locked after items, in the order of their ids and names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, select

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.tables import batches


def lock_in_id_order(dialect: Dialect, table: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a row meets `conditions`, and lock all such rows first, in the order of their ids.

    For statements of which several may be given the same rows: in a join, the planner would choose the order.
    """
    if not dialect.has_row_locks:
        return and_(*conditions)
    chosen = select(table.c.id).where(*conditions).order_by(table.c.id)
    locked = chosen.with_for_update(of=table).cte("locked")
    return table.c.id == locked.c.id


def skip_locked(
    dialect: Dialect, table: Table, *conditions: ColumnElement[bool], limit: int | None = None
) -> ColumnElement[bool]:
    """Return the condition that a row meets `conditions` and that no other transaction holds it, and lock such rows.

    Args:
        limit: take at most this many, lowest ids first.
    """
    chosen: Select[tuple[int]] = select(table.c.id).where(*conditions).order_by(table.c.id).limit(limit)
    if not dialect.has_row_locks:
        return and_(*conditions) if limit is None else table.c.id.in_(chosen)
    # A CTE with locks is evaluated once. A subquery may be evaluated again, and then lock other rows.
    locked = chosen.with_for_update(of=table, skip_locked=True).cte("unlocked")
    return table.c.id == locked.c.id


def lock_rows(connection: Connection, table: Table, ids: Sequence[int]) -> None:
    """Lock rows in the order of their ids, before a transaction changes them with several statements."""
    dialect = dialect_of(connection)
    if dialect.has_row_locks:
        connection.execute(_lock_rows(dialect, table), {"ids": dialect.encode_list(ids)})


@cache
def _lock_rows(dialect: Dialect, table: Table) -> Select[tuple[int]]:
    return select(table.c.id).where(dialect.is_in_list(table.c.id, "ids")).order_by(table.c.id).with_for_update()


def lock_against_prune(connection: Connection, batch_ids: Collection[int]) -> list[int]:
    """Keep batches from being pruned until the transaction ends. Return those that still exist.

    Call this before changing any part of a completed batch. Transactions that update its counters are not blocked.
    """
    chosen = select(batches.c.id).where(batches.c.id.in_(batch_ids)).order_by(batches.c.id)
    return list(connection.scalars(chosen.with_for_update(read=True, key_share=True)))
