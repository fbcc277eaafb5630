"""What people did to batches."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from pipeline.database.tables import interventions
from pipeline.domain.intervention import Action, Intervention


def add(
    connection: Connection, batch_id: int, action: Action, actor: str, at: datetime, affected: int | None = None
) -> int:
    """Record what somebody did, in the transaction that does it. Return the id of the record."""
    row = {"batch_id": batch_id, "action": action.value, "actor": actor, "at": at, "affected": affected}
    return int(connection.execute(insert(interventions).values(row).returning(interventions.c.id)).scalar_one())


def add_affected(connection: Connection, intervention_id: int, number: int) -> None:
    """Add to the number of items of an intervention that takes several transactions."""
    chosen = update(interventions).where(interventions.c.id == intervention_id)
    connection.execute(chosen.values(affected=interventions.c.affected + number))


def find_newest(connection: Connection, batch_id: int, limit: int) -> list[Intervention]:
    """Return the latest interventions in a batch, the newest first."""
    columns = (interventions.c.action, interventions.c.actor, interventions.c.at, interventions.c.affected)
    query = select(*columns).where(interventions.c.batch_id == batch_id).order_by(interventions.c.id.desc())
    return [Intervention(Action(action), *rest) for action, *rest in connection.execute(query.limit(limit))]
