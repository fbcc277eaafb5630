"""Replay items that ended without a result: dead ones, and those that were cancelled with their batch."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.batches.find import find_batch, pruned_meanwhile, refuse_if_cancelling
from pipeline.batches.replays.completion_hold import CompletionHold, completion_hold
from pipeline.batches.sql import batches, interventions, items
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.intervention import Action
from pipeline.domain.item import ItemState
from pipeline.errors import Conflict
from pipeline.guards.guards import reset_fired
from pipeline.guards.sql.guards import find_fired

#: Items replayed in one transaction.
CHUNK = 5_000
#: States from which items can be replayed.
REPLAYED_STATES = (ItemState.DEAD, ItemState.CANCELLED)


def replay_dead(context: Context, batch: str, *, positions: Sequence[int] | None = None, force: bool = False) -> int:
    """Replay dead items; see `replay`."""
    return replay(context, batch, ItemState.DEAD, positions=positions, force=force)


def refuse_if_guarded(context: Context, batch: Row, *, force: bool = False) -> None:
    """Refuse to replay items of a batch that one of its guards has stopped: they would wait, or fail again.

    Once the batch is complete, its guards count from nothing instead.

    Args:
        force: do not refuse.

    Raises:
        Conflict: a guard has fired, and the batch was not resumed.
    """
    with context.database.read() as connection:
        fired = find_fired(connection, batch["id"])
    if not fired:
        return
    if batch["completed_at"] is not None:
        with context.database.write() as connection:
            reset_fired(connection, batch["id"], context.now())
    elif not force:
        raise Conflict(
            f"guard {fired[0]} of batch {batch['public_id']} has fired; resume the batch first, or force the replay"
        )


def replay(
    context: Context,
    batch: str,
    state: ItemState,
    *,
    positions: Sequence[int] | None = None,
    force: bool = False,
) -> int:
    """Make items of a batch pending again, with fresh attempts, at the stage where they ended.

    Args:
        state: the state they ended in, one of `REPLAYED_STATES`.
        positions: positions of the items in the input; None: every item in that state.
        force: also if a guard of the batch has fired.

    Returns:
        The number of items. The batch runs again and emits `batch.completed` again, once, even if it was cancelled.

    Raises:
        Conflict: the batch was cancelled, and some of its items are not final yet.
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        row = find_batch(connection, batch)
    refuse_if_guarded(context, row, force=force)
    with completion_hold(context, row["id"]) as hold:
        return replay_held(context, row, state, hold, positions=positions)


def replay_held(
    context: Context,
    batch: Row,
    state: ItemState,
    hold: CompletionHold,
    *,
    positions: Sequence[int] | None,
    is_last: bool = True,
) -> int:
    """Replay like `replay`, as one of several calls that make up one replay.

    Args:
        batch: its row.
        hold: keeps the batch from completing in between.
        is_last: whether no further call follows.
    """
    if positions is None:
        return _replay(context, batch, state, None, hold, is_last=is_last)
    # In portions: a statement takes a limited number of parameters.
    portions = [positions[each : each + CHUNK] for each in range(0, max(len(positions), 1), CHUNK)]
    return sum(
        _replay(context, batch, state, each, hold, is_last=is_last and each is portions[-1]) for each in portions
    )


def _replay(
    context: Context,
    batch: Row,
    state: ItemState,
    positions: Sequence[int] | None,
    hold: CompletionHold,
    *,
    is_last: bool,
) -> int:
    batch_id = batch["id"]
    ids = None if positions is None else [batch_id * POSITIONS_PER_BATCH + each for each in positions]
    replayed = after = 0
    intervention: int | None = None
    while True:
        with context.database.write() as connection:
            refuse_if_cancelling(find_batch(connection, batch["public_id"]))
            now = context.now()
            moved = items.replay(connection, batch_id, state, ids=ids, after=after, now=now, limit=CHUNK)
            if moved and not batches.reopen(connection, batch_id, len(moved), state):
                raise pruned_meanwhile(batch["public_id"])
            if moved and intervention is None:
                intervention = interventions.add(connection, batch_id, Action.REPLAY, context.actor, now, len(moved))
            elif moved and intervention is not None:
                interventions.add_affected(connection, intervention, len(moved))
            may_go_on = positions is None and len(moved) == CHUNK
            if moved and (may_go_on or not is_last):
                hold.keep(connection)
        replayed += len(moved)
        if not may_go_on:
            return replayed
        # Continue after the last one: no chunk reads the batch from its start.
        after = max(moved)
