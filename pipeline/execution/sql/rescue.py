"""Taking back items whose worker is gone: expired leases, dead workers, stopping workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, not_, or_, select, tuple_, union, update

from pipeline.batches.sql.items import FINISHED_COLUMNS, IN_FLIGHT, attempt_before_crash
from pipeline.database.dialect import dialect_of
from pipeline.database.json_rows import item_rows
from pipeline.database.locks import skip_locked
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import has_state, recheck_state
from pipeline.database.tables import items, spans
from pipeline.domain.cause import find_cause
from pipeline.domain.item import ItemState, Stage
from pipeline.execution.sql.releases import Ref


def find_holders(connection: Connection) -> list[str]:
    """Return the names of the workers that hold released or running items."""
    of_items = select(items.c.worker).where(has_state(items.c.state, *IN_FLIGHT), items.c.worker.is_not(None))
    of_spans = select(spans.c.worker).where(spans.c.worker.is_not(None))
    return [name for name in connection.scalars(union(of_items, of_spans)) if name is not None]


def _lost(now: datetime, dead: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that an item is in flight and its lease has expired or its holder is dead."""
    return and_(has_state(items.c.state, *IN_FLIGHT), or_(items.c.lease_until < now, items.c.worker.in_(dead)))


def lost_spans(now: datetime, dead: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that the messages of a span are lost: its lease has expired or its holder is dead."""
    return or_(spans.c.lease_until < now, spans.c.worker.in_(dead))


def held_spans(worker: str) -> ColumnElement[bool]:
    """Return the condition that the messages of a span are in the memory of a process."""
    return spans.c.worker == worker


def take_back(connection: Connection, dead: Sequence[str], *, now: datetime, max_crashes: int) -> int:
    """Make lost items pending again, due now. Return the count.

    An item is lost when its lease has expired or its holder is among `dead`. If it was running, that counts as a crash
    and makes it a suspect. Items that this crash brings to `max_crashes` are left to `give_up`.
    """
    is_running = has_state(items.c.state, "running")
    died = items.c.crashes + case((is_running, 1), else_=0)
    lost = skip_locked(dialect_of(connection), items, _lost(now, dead), not_(and_(is_running, died >= max_crashes)))
    statement = (
        update(items)
        .where(lost)
        .values(
            state=ItemState.PENDING.value,
            due_at=now,
            lease_until=None,
            worker=None,
            attempt=attempt_before_crash(),
            crashes=died,
        )
    )
    return connection.execute(statement).rowcount


def give_up(connection: Connection, dead: Sequence[str], *, now: datetime, max_crashes: int) -> list[Row]:
    """Mark lost items whose workers have died `max_crashes` times as dead. Return the finished rows."""
    died = _lost(now, dead), has_state(items.c.state, "running"), items.c.crashes + 1 >= max_crashes
    lost = skip_locked(dialect_of(connection), items, *died)
    message = f"its worker died or lost track of it {max_crashes} times while running this item"
    causes = {stage.value: find_cause(stage.value, _KIND, _TYPE, message).id for stage in Stage}
    statement = (
        update(items)
        .where(lost)
        .values(
            state=ItemState.DEAD.value,
            finished_at=now,
            lease_until=None,
            crashes=items.c.crashes + 1,
            error_kind=_KIND,
            error_type=_TYPE,
            error_message=message,
            error_stage=items.c.stage,
            cause=case(causes, value=items.c.stage),
        )
        .returning(*(items.c[name] for name in FINISHED_COLUMNS))
    )
    return rows(connection.execute(statement))


_KIND, _TYPE = "permanent", "worker_died"


def renew(connection: Connection, refs: Iterable[Ref], worker: str, until: datetime) -> int:
    """Extend the leases of items that a worker is running. Return how many it still runs."""
    dialect = dialect_of(connection)
    given = item_rows(dialect, "id", "epoch")
    is_running = and_(
        tuple_(items.c.id, items.c.epoch).in_(select(given.c.id, given.c.epoch)),
        recheck_state(items.c.state, "running"),
        items.c.worker == bindparam("holder"),
    )
    statement = update(items).where(skip_locked(dialect, items, is_running)).values(lease_until=bindparam("until"))
    parameters = {
        "rows": dialect.encode_rows({"id": ref.id, "epoch": ref.epoch} for ref in refs),
        "holder": worker,
        "until": until,
    }
    return connection.execute(statement, parameters).rowcount


def hand_back(connection: Connection, worker: str, now: datetime) -> int:
    """Make the items of a stopping worker pending again, without counting a crash or an attempt. Return the count."""
    held = skip_locked(dialect_of(connection), items, has_state(items.c.state, *IN_FLIGHT), items.c.worker == worker)
    statement = (
        update(items)
        .where(held)
        .values(
            state=ItemState.PENDING.value,
            due_at=now,
            lease_until=None,
            worker=None,
            attempt=attempt_before_crash(),
        )
    )
    return connection.execute(statement).rowcount
