"""Pause, resume and cancel batches. Each changes rows, so it takes effect whether or not workers are running."""

from __future__ import annotations

from sqlalchemy import Connection

from pipeline.batches.find import find_batch
from pipeline.batches.finish import complete
from pipeline.batches.reconcile import cancel_rest
from pipeline.batches.sql import batches, interventions, items, spans
from pipeline.context import Context
from pipeline.domain.batch import BatchState
from pipeline.domain.intervention import Action
from pipeline.errors import Conflict
from pipeline.guards.guards import end_alerts, reset_fired

#: What somebody does who brings a batch into a state.
_ACTIONS = {
    BatchState.PAUSED: Action.PAUSE,
    BatchState.RUNNING: Action.RESUME,
    BatchState.CANCELLED: Action.CANCEL,
}


def pause(context: Context, batch: str) -> None:
    """Stop releasing items of a batch, and recall those that no worker has claimed. Claimed items are finished.

    An open batch gets no more items.

    Raises:
        Conflict: the batch is final, or is still being submitted.
    """
    states = (BatchState.RUNNING, BatchState.OPEN, BatchState.PAUSED)
    recall(context, _change(context, batch, states, BatchState.PAUSED))


def resume(context: Context, batch: str) -> None:
    """Release items of a paused batch again.

    Raises:
        Conflict: the batch is final, or is still being submitted.
    """
    _change(context, batch, (BatchState.PAUSED, BatchState.RUNNING), BatchState.RUNNING)


def cancel(context: Context, batch: str) -> int:
    """Cancel the items of a batch that no worker has claimed. Claimed items are finished.

    Returns:
        The number of items cancelled by this call.

    Raises:
        Conflict: the batch is completed, or is still being submitted.
    """
    states = (BatchState.RUNNING, BatchState.OPEN, BatchState.PAUSED, BatchState.CANCELLED)
    batch_id = _change(context, batch, states, BatchState.CANCELLED)
    # An item that is being claimed right now is waited for, which the cancellation itself does not do.
    recall(context, batch_id)
    return cancel_rest(context, batch_id)


def _change(context: Context, batch: str, expected: tuple[BatchState, ...], to: BatchState) -> int:
    with context.database.write() as connection:
        row = find_batch(connection, batch)
        if row["state"] == to == BatchState.PAUSED:
            # Who paused it first stays known.
            return int(row["id"])
        if not batches.change_state(connection, row["id"], expected, to):
            raise Conflict(f"batch {row['public_id']} is {row['state']}; it cannot become {to}")
        if row["state"] != to:
            interventions.add(connection, row["id"], _ACTIONS[to], context.actor, context.now())
        if to is BatchState.RUNNING:
            reset_fired(connection, row["id"], context.now())
        if to is BatchState.CANCELLED:
            end_alerts(connection, row["id"], "batch_ended", context.now())
            # A replay releases its items by row.
            spans.forget_unreleased(connection, row["id"])
        if row["state"] == BatchState.OPEN:
            # Its items may all be final by now: no more of them will finish and complete it.
            complete(connection, row["id"], context.hooks, context.now())
    return int(row["id"])


def stop_for_guard(context: Context, connection: Connection, batch_id: int, guard: str, *, is_cancelled: bool) -> bool:
    """Pause or cancel a batch in the transaction in which one of its guards fires. Return False if it does not run.

    The caller recalls its items once that is committed; the sweeps cancel them.
    """
    expected, to = (BatchState.RUNNING, BatchState.OPEN), BatchState.CANCELLED if is_cancelled else BatchState.PAUSED
    actor = f"guard:{guard}"
    if not batches.change_state(connection, batch_id, expected, to, by=actor):
        return False
    now = context.now()
    interventions.add(connection, batch_id, _ACTIONS[to], actor, now)
    if is_cancelled:
        spans.forget_unreleased(connection, batch_id)
    # Of one that was open, or the last items of which have ended in this transaction.
    complete(connection, batch_id, context.hooks, now)
    return True


def recall(context: Context, batch_id: int) -> None:
    """Take back the released items of a batch that no worker has claimed, so that messages under way are stale.

    Called after the transaction that changed the state: a round of dispatch that has not seen the change checks the
    state again before it publishes. Two transactions, since each has to lock its items in the order of their ids; and
    none of them locks the batch, since others lock items first.
    """
    with context.database.write() as connection:
        of_batch = spans.of_batch(batch_id)
        spans.take_back(connection, of_batch, context.now(), waits=True)
        spans.delete_claimed(connection, of_batch)
    with context.database.write() as connection:
        items.recall(connection, batch_id, context.now())
