"""Replay dead items."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.batches.find import find_batch, pruned_meanwhile
from pipeline.batches.sql import batches, items
from pipeline.context import Context
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.errors import Conflict

#: Items replayed in one transaction.
CHUNK = 5_000


def replay_dead(context: Context, batch: str, *, positions: Sequence[int] | None = None) -> int:
    """Make dead items of a batch pending again, with fresh attempts, at the stage that failed.

    Args:
        positions: positions of the items in the input; None: every dead item.

    Returns:
        The number of items. The batch runs again and emits `batch.completed` again.

    Raises:
        Conflict: the batch is cancelled.
        NotFound: there is no such batch.
    """
    replayed = 0
    while True:
        with context.database.write() as connection:
            row = find_batch(connection, batch)
            if row["state"] == "cancelled":
                raise Conflict(f"batch {row['public_id']} is cancelled; its items cannot be replayed")
            ids = None if positions is None else [row["id"] * POSITIONS_PER_BATCH + each for each in positions]
            moved = items.replay(connection, row["id"], ids=ids, now=context.now(), limit=CHUNK)
            if moved and not batches.reopen(connection, row["id"], len(moved)):
                raise pruned_meanwhile(row["public_id"])
        replayed += len(moved)
        if len(moved) < CHUNK:
            return replayed
