"""How many workers a queue wants, for autoscalers that ask over HTTP."""

from __future__ import annotations

from datetime import timedelta

from pipeline.context import Context
from pipeline.database import totals
from pipeline.domain.item import Stage
from pipeline.execution.sql import waiting_items
from pipeline.monitoring import sql
from pipeline.monitoring.rules.scaling import SOON_SECONDS, WantedWorkers, wanted_workers

#: Due items are counted up to about this number.
MOST_DUE = 1_000_000


def wanted_for(context: Context, stage: Stage) -> WantedWorkers:
    """Return how many worker processes a stage wants.

    Raises:
        Unreachable: the database does not answer.
    """
    soon = context.now() + timedelta(seconds=SOON_SECONDS)
    with context.database.read() as connection:
        in_flight = sql.count_in_flight(connection)[stage.value]
        due = waiting_items.count_due(connection, soon, None, MOST_DUE)[stage.value]
        lasted = totals.read(connection).get(totals.ATTEMPT_MICROSECONDS + stage.value)
    settings = context.settings
    return wanted_workers(
        in_flight,
        due,
        capacity=settings.concurrency * settings.batch_items,
        attempt_seconds=None if lasted is None else lasted / 1e6,
    )
