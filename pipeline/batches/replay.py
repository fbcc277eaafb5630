"""Replay items that ended without a result: dead ones, and those that were cancelled with their batch."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.batches.find import find_batch, pruned_meanwhile, refuse_if_cancelling
from pipeline.batches.sql import batches, items
from pipeline.context import Context
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.item import ItemState

#: Items replayed in one transaction.
CHUNK = 5_000
#: States from which items can be replayed.
REPLAYED_STATES = (ItemState.DEAD, ItemState.CANCELLED)


def replay_dead(context: Context, batch: str, *, positions: Sequence[int] | None = None) -> int:
    """Replay dead items; see `replay`."""
    return replay(context, batch, ItemState.DEAD, positions=positions)


def replay(context: Context, batch: str, state: ItemState, *, positions: Sequence[int] | None = None) -> int:
    """Make items of a batch pending again, with fresh attempts, at the stage where they ended.

    Args:
        state: the state they ended in, one of `REPLAYED_STATES`.
        positions: positions of the items in the input; None: every item in that state.

    Returns:
        The number of items. The batch runs again and emits `batch.completed` again, even if it was cancelled.

    Raises:
        Conflict: the batch was cancelled, and some of its items are not final yet.
        NotFound: there is no such batch.
    """
    if positions is None:
        return _replay(context, batch, state, None)
    # In portions: a statement takes a limited number of parameters.
    return sum(
        _replay(context, batch, state, positions[each : each + CHUNK])
        for each in range(0, max(len(positions), 1), CHUNK)
    )


def _replay(context: Context, batch: str, state: ItemState, positions: Sequence[int] | None) -> int:
    replayed = after = 0
    while True:
        with context.database.write() as connection:
            row = find_batch(connection, batch)
            refuse_if_cancelling(row)
            ids = None if positions is None else [row["id"] * POSITIONS_PER_BATCH + each for each in positions]
            now = context.now()
            moved = items.replay(connection, row["id"], state, ids=ids, after=after, now=now, limit=CHUNK)
            if moved and not batches.reopen(connection, row["id"], len(moved), state):
                raise pruned_meanwhile(row["public_id"])
        replayed += len(moved)
        if len(moved) < CHUNK:
            return replayed
        # Continue after the last one: no chunk reads the batch from its start.
        after = max(moved)
