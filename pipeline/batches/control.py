"""Pause, resume and cancel batches. Each changes a row, so it takes effect whether or not workers are running."""

from __future__ import annotations

from pipeline.batches.find import find_batch
from pipeline.batches.reconcile import cancel_rest
from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.domain.batch import BatchState
from pipeline.errors import Conflict


def pause(context: Context, batch: str) -> None:
    """Stop releasing items of a batch. Items in flight are finished.

    Raises:
        Conflict: the batch is final, or is still being submitted.
    """
    _change(context, batch, (BatchState.RUNNING, BatchState.PAUSED), BatchState.PAUSED)


def resume(context: Context, batch: str) -> None:
    """Release items of a paused batch again.

    Raises:
        Conflict: the batch is final, or is still being submitted.
    """
    _change(context, batch, (BatchState.PAUSED, BatchState.RUNNING), BatchState.RUNNING)


def cancel(context: Context, batch: str) -> int:
    """Cancel the items of a batch that have not started. Running items are finished.

    Returns:
        The number of items cancelled by this call.

    Raises:
        Conflict: the batch is completed, or is still being submitted.
    """
    states = (BatchState.RUNNING, BatchState.PAUSED, BatchState.CANCELLED)
    return cancel_rest(context, _change(context, batch, states, BatchState.CANCELLED))


def _change(context: Context, batch: str, expected: tuple[BatchState, ...], to: BatchState) -> int:
    with context.database.write() as connection:
        row = find_batch(connection, batch)
        if not batches.change_state(connection, row["id"], expected, to):
            raise Conflict(f"batch {row['public_id']} is {row['state']}; it cannot become {to}")
    return int(row["id"])
