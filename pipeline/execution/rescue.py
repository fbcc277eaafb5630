"""Take back what is held by nobody: leases that ran out, and what dead processes of this host held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pipeline.batches import submit_lease
from pipeline.batches.finish import finish
from pipeline.context import Context
from pipeline.database import leases
from pipeline.execution.sql import releases, rescue
from pipeline.execution.sql.releases import Ref

#: Leases of processes elsewhere, or of this host's past, are forgotten after this.
FORGET_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rescued:
    """How many items are pending again, and how many were given up."""

    taken_back: int
    given_up: int


def holders(context: Context) -> set[str]:
    """Return the names of the processes that hold items or leases."""
    with context.database.read() as connection:
        return {*rescue.holders(connection), *leases.holders(connection)}


def rescue_lost(context: Context, dead: Sequence[str] = ()) -> Rescued:
    """Make lost work pending again, and give up items that took their worker with them too often."""
    now = context.now()
    limit = context.settings.max_crashes
    with context.database.write() as connection:
        given_up = rescue.give_up(connection, dead, now=now, max_crashes=limit)
        taken_back = rescue.take_back(connection, dead, now=now, max_crashes=limit)
        if given_up:
            finish(connection, given_up, context.hooks, now)
    return Rescued(taken_back, len(given_up))


def forget_gone(context: Context, dead: Sequence[str]) -> None:
    """Remove the leases of processes that are gone, now that all they held is taken back, and those that long ended.

    A submitter's stays: it says that a batch has to be removed.
    """
    with context.database.write() as connection:
        leases.drop_gone(connection, dead, before=context.now() - FORGET_AFTER, but=submit_lease.PREFIX)


def hand_back(context: Context) -> int:
    """Return the items and leases that this process holds, for an orderly stop. Return the number of items."""
    with context.database.write() as connection:
        leases.drop_all(connection, context.worker)
        return rescue.hand_back(connection, context.worker, context.now())


def hand_back_items(context: Context) -> int:
    """Return the items that this process holds, while its other parts go on. Return how many."""
    with context.database.write() as connection:
        return rescue.hand_back(connection, context.worker, context.now())


def unsent(context: Context, refs: Sequence[Ref]) -> int:
    """Make released items pending again whose messages could not be published. Return how many."""
    with context.database.write() as connection:
        return releases.take_back(connection, refs, context.now())


def renew(context: Context, refs: Sequence[Ref]) -> int:
    """Keep items that this process is running for another lease. Return how many it still holds."""
    if not refs:
        return 0
    with context.database.write() as connection:
        return rescue.renew(connection, refs, context.worker, context.now() + context.lease)
