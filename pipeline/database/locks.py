"""The order in which rows are locked, so that no two transactions wait for each other.

Statements that are handed rows (release, claim, record) take them in the order of their ids. Sweeps pass over rows that
another transaction holds: those are just being changed, and the next sweep looks at them again. Batches and endpoints
are locked after items, in the order of their ids and names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, select

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.tables import batches


def in_order(dialect: Dialect, table: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a row meets `conditions`, and lock such rows in the order of their ids beforehand.

    For statements that several may be handed the same rows for: the order of a join is the planner's choice.
    """
    if not dialect.has_row_locks:
        return and_(*conditions)
    chosen = select(table.c.id).where(*conditions).order_by(table.c.id)
    locked = chosen.with_for_update(of=table).cte("locked")
    return table.c.id == locked.c.id


def hold(connection: Connection, table: Table, ids: Sequence[int]) -> None:
    """Lock rows in the order of their ids, for a transaction that changes them by several statements.

    SQLite has one writer.
    """
    dialect = dialect_of(connection)
    if dialect.has_row_locks:
        connection.execute(_hold(dialect, table), {"ids": dialect.encode_list(ids)})


@cache
def _hold(dialect: Dialect, table: Table) -> Select[tuple[int]]:
    return select(table.c.id).where(dialect.is_in_list(table.c.id, "ids")).order_by(table.c.id).with_for_update()


def keep(connection: Connection, batch_ids: Collection[int]) -> list[int]:
    """Hold batches, so that none of them is pruned before the transaction ends. Return those that are still there.

    Before anything of a batch that is complete is changed; whoever counts its items is not kept waiting.
    """
    chosen = select(batches.c.id).where(batches.c.id.in_(batch_ids)).order_by(batches.c.id)
    return list(connection.scalars(chosen.with_for_update(read=True, key_share=True)))


def unlocked(
    dialect: Dialect, table: Table, *conditions: ColumnElement[bool], limit: int | None = None
) -> ColumnElement[bool]:
    """Return the condition that a row meets `conditions` and nobody else holds it; at most `limit`, lowest ids first.

    SQLite has one writer, hence no rows that anybody holds.
    """
    chosen: Select[tuple[int]] = select(table.c.id).where(*conditions).order_by(table.c.id).limit(limit)
    if not dialect.has_row_locks:
        return and_(*conditions) if limit is None else table.c.id.in_(chosen)
    # A table expression with locks is evaluated once; a subquery might be again, and lock others than the first time.
    locked = chosen.with_for_update(skip_locked=True).cte("unlocked")
    return table.c.id == locked.c.id
