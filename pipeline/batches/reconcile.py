"""Make batches agree with their items: recount them, complete them, and cancel what a cancellation has not reached."""

from __future__ import annotations

from pipeline.batches.finish import complete, finish
from pipeline.batches.sql import batches, items, spans
from pipeline.context import Context
from pipeline.guards.guards import end_alerts
from pipeline.log import get_logger

log = get_logger(__name__)

#: Items cancelled in one transaction.
CHUNK = 1_000


def reconcile(context: Context, batch_id: int) -> dict[str, tuple[int, int]]:
    """Recount a batch, and complete it if every item is final.

    Counting a large batch takes a long time, so the batch is locked only if a first count without a lock differs.

    Returns:
        The counters that were wrong: name → (stored, actual).
    """
    now = context.now()
    with context.database.read() as connection:
        has_drifted = bool(batches.find_counter_drift(connection, batch_id))
    with context.database.write() as connection:
        drift = batches.correct_counters(connection, batch_id) if has_drifted else {}
        complete(connection, batch_id, context.hooks, now)
    if drift:
        log.warning("counters_drifted", batch_row=batch_id, **{name: list(pair) for name, pair in drift.items()})
    return drift


def make_releasable(context: Context) -> int:
    """Let the dispatcher release batches that a program of the version before has accepted. Return their number.

    Programs that submit may go on while workers and database are upgraded.
    """
    with context.database.read() as connection:
        found = spans.find_unaccepted(connection)
    number = 0
    for batch_id in found:
        with context.database.write() as connection:
            number += batches.make_releasable(connection, batch_id)
    return number


def cancel_rest(context: Context, batch_id: int) -> int:
    """Cancel the items of a cancelled batch that have not started, in chunks. Return the number of items."""
    cancelled = after = 0
    while True:
        now = context.now()
        with context.database.write() as connection:
            rows = items.cancel(connection, batch_id, after=after, now=now, limit=CHUNK)
            finish(connection, rows, context.hooks, now)
            if len(rows) < CHUNK:
                end_alerts(connection, batch_id, "batch_ended", now)
        cancelled += len(rows)
        if len(rows) < CHUNK:
            return cancelled
        # Continue after the last one: no chunk reads the batch from its start.
        after = max(row["id"] for row in rows)
