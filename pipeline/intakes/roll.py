"""Seal open batches: from then on nothing is added to them, and they complete with their last item."""

from __future__ import annotations

from pipeline.batches.finish import complete
from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.batch import BatchState
from pipeline.intakes.rules.options import IntakeOptions
from pipeline.intakes.sql import intakes
from pipeline.log import get_logger

log = get_logger(__name__)


def roll_due(context: Context) -> int:
    """Seal every open batch that is full, old or idle. Return their number.

    Consumers call this, and so do the sweeps: the batch of a consumer that died is sealed too.
    """
    with context.database.read() as connection:
        found = intakes.find_open(connection)
    return sum(seal(context, row["id"], row["batch_id"]) for row in found if _is_due(context, row))


def _is_due(context: Context, row: Row) -> bool:
    if row["batch_state"] != BatchState.OPEN:
        # Somebody paused or cancelled it, or it was pruned.
        return True
    return IntakeOptions.from_json(row["options"]).is_due(
        items=row["total"],
        opened_at=row["started_at"],
        last_message_at=row["last_message_at"],
        now=context.now(),
    )


def seal(context: Context, intake_id: int, batch_id: int) -> bool:
    """Seal the open batch of an intake, and complete it if every item is final. Return False if it was not open.

    The intake is locked first, as where items are accepted: no item comes between.
    """
    with context.database.write() as connection:
        intake = intakes.lock(connection, intake_id)
        is_sealed = batches.change_state(connection, batch_id, (BatchState.OPEN,), BatchState.RUNNING)
        if intake["batch_id"] == batch_id:
            intakes.change(connection, intake_id, batch_id=None)
        if not is_sealed:
            return False
        complete(connection, batch_id, context.hooks, context.now())
        (batch,) = batches.find_by_ids(connection, [batch_id])
    log.info("batch_sealed", intake=intake["name"], batch=batch["public_id"])
    return True
