"""Work whose holder is gone: leases that ran out, and what a stopped process held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, not_, or_, select, tuple_, update

from pipeline.batches.sql.items import FINISHED, IN_FLIGHT, attempt_uncounted
from pipeline.database.dialect import dialect_of
from pipeline.database.json_rows import item_rows
from pipeline.database.locks import unlocked
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import is_in, is_still
from pipeline.database.tables import items
from pipeline.domain.item import ItemState
from pipeline.execution.sql.releases import Ref


def holders(connection: Connection) -> list[str]:
    """Return the names of the workers that hold released or running items."""
    query = select(items.c.worker).where(is_in(items.c.state, *IN_FLIGHT), items.c.worker.is_not(None)).distinct()
    return [name for name in connection.scalars(query) if name is not None]


def _lost(now: datetime, dead: Sequence[str]) -> ColumnElement[bool]:
    """In flight, and the lease is over or the holder is known to be dead."""
    return and_(is_in(items.c.state, *IN_FLIGHT), or_(items.c.lease_until < now, items.c.worker.in_(dead)))


def take_back(connection: Connection, dead: Sequence[str], *, now: datetime, max_crashes: int) -> int:
    """Released or running → pending, due now, where the lease is over or the holder is among `dead`.

    A running item's worker died: that counts a crash, and the item will be claimed alone. Items that have reached
    `max_crashes` with this one are left for `give_up`. Return how many were taken back.
    """
    is_running = is_in(items.c.state, "running")
    died = items.c.crashes + case((is_running, 1), else_=0)
    lost = unlocked(dialect_of(connection), items, _lost(now, dead), not_(and_(is_running, died >= max_crashes)))
    statement = (
        update(items)
        .where(lost)
        .values(
            state=ItemState.PENDING.value,
            due_at=now,
            lease_until=None,
            worker=None,
            attempt=attempt_uncounted(),
            crashes=died,
        )
    )
    return connection.execute(statement).rowcount


def give_up(connection: Connection, dead: Sequence[str], *, now: datetime, max_crashes: int) -> list[Row]:
    """Running → dead, for items whose workers died `max_crashes` times. Return the finished rows."""
    died = _lost(now, dead), is_in(items.c.state, "running"), items.c.crashes + 1 >= max_crashes
    lost = unlocked(dialect_of(connection), items, *died)
    statement = (
        update(items)
        .where(lost)
        .values(
            state=ItemState.DEAD.value,
            finished_at=now,
            lease_until=None,
            crashes=items.c.crashes + 1,
            error_kind="permanent",
            error_type="worker_died",
            error_message=f"its worker died, or lost track of it, {max_crashes} times while it ran this item",
            error_stage=items.c.stage,
        )
        .returning(*(items.c[name] for name in FINISHED))
    )
    return rows(connection.execute(statement))


def renew(connection: Connection, refs: Iterable[Ref], worker: str, until: datetime) -> int:
    """Extend the leases of items that a living worker is running."""
    dialect = dialect_of(connection)
    given = item_rows(dialect, "id", "epoch")
    mine = and_(
        tuple_(items.c.id, items.c.epoch).in_(select(given.c.id, given.c.epoch)),
        is_still(items.c.state, "running"),
        items.c.worker == bindparam("holder"),
    )
    statement = update(items).where(unlocked(dialect, items, mine)).values(lease_until=bindparam("until"))
    parameters = {
        "rows": dialect.encode_rows({"id": ref.id, "epoch": ref.epoch} for ref in refs),
        "holder": worker,
        "until": until,
    }
    return connection.execute(statement, parameters).rowcount


def hand_back(connection: Connection, worker: str, now: datetime) -> int:
    """Released or running → pending, for a worker that stops in good order: no crash, no attempt counted."""
    held = unlocked(dialect_of(connection), items, is_in(items.c.state, *IN_FLIGHT), items.c.worker == worker)
    statement = (
        update(items)
        .where(held)
        .values(
            state=ItemState.PENDING.value,
            due_at=now,
            lease_until=None,
            worker=None,
            attempt=attempt_uncounted(),
        )
    )
    return connection.execute(statement).rowcount
