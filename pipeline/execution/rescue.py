"""Rescue lost work: items whose lease ran out, and items and leases of dead processes of this host."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from pipeline.alerts.rules.observations import Observation
from pipeline.batches import submit_lease
from pipeline.batches.finish import finish
from pipeline.batches.sql import completion_holds, spans
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.row import Row
from pipeline.domain.alerts.guard import GuardCounts
from pipeline.execution.guard_keeper import GuardKeeper
from pipeline.execution.sql import releases, rescue
from pipeline.execution.sql.releases import Ref

#: Expired leases of processes on other hosts, or from before a reboot, are removed after this.
FORGET_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rescued:
    """The result of a rescue.

    Args:
        taken_back: number of items that are pending again.
        given_up: number of items that are dead, because too many workers died holding them.
    """

    taken_back: int
    given_up: int


def holders(context: Context) -> set[str]:
    """Return the names of the processes that hold items or leases."""
    with context.database.read() as connection:
        return {*rescue.find_holders(connection), *leases.find_holders(connection)}


def rescue_lost(context: Context, dead: Sequence[str] = ()) -> Rescued:
    """Make lost items pending again, and give up those whose workers died too often."""
    now = context.now()
    limit = context.settings.max_crashes
    with context.database.write() as connection:
        given_up = rescue.give_up(connection, dead, now=now, max_crashes=limit)
        taken_back = rescue.take_back(connection, dead, now=now, max_crashes=limit)
        lost = rescue.lost_spans(now, dead)
        taken_back += spans.take_back(connection, lost, now)
        if given_up:
            guards, of_batches = GuardKeeper(context), {row["batch_id"] for row in given_up}
            guarded = guards.lock_guarded(connection, of_batches)
            finish(connection, given_up, context.hooks, now)
            if guarded:
                guards.observe(connection, _seen(given_up), guarded, now)
        spans.delete_claimed(connection, lost)
    return Rescued(taken_back, len(given_up))


def _seen(given_up: Sequence[Row]) -> dict[int, Counter[Observation]]:
    found: dict[int, Counter[Observation]] = defaultdict(Counter)
    for row in given_up:
        found[row["batch_id"]][Observation(GuardCounts.ITEMS, row["error_stage"], row["error_type"])] += 1
    return found


def forget_gone(context: Context, dead: Sequence[str]) -> None:
    """Remove the leases of dead processes, after their work was rescued, and leases that ended long ago.

    Leases of submitters stay: they mark batches that have to be removed. So do those of replays, whose batches have to
    be completed.
    """
    kept = submit_lease.PREFIX, completion_holds.PREFIX
    with context.database.write() as connection:
        leases.delete_stale(connection, dead, before=context.now() - FORGET_AFTER, except_prefixes=kept)


def hand_back(context: Context) -> int:
    """Give up the items and leases that this process holds, for an orderly stop. Return the number of items."""
    with context.database.write() as connection:
        leases.release_all(connection, context.worker)
        return _hand_back(context, connection)


def hand_back_items(context: Context) -> int:
    """Return the items that this process holds to the queue while its other parts go on. Return their number."""
    with context.database.write() as connection:
        return _hand_back(context, connection)


def _hand_back(context: Context, connection: Connection) -> int:
    now, held = context.now(), rescue.held_spans(context.worker)
    number = rescue.hand_back(connection, context.worker, now) + spans.take_back(connection, held, now)
    spans.delete_claimed(connection, held)
    return number


def unsent(context: Context, refs: Sequence[Ref]) -> int:
    """Make released items pending again after their messages could not be published. Return their number."""
    with context.database.write() as connection:
        return releases.undo_release(connection, refs, context.now())


def renew(context: Context, refs: Sequence[Ref]) -> int:
    """Renew the leases of items that this process is running. Return how many it still holds."""
    if not refs:
        return 0
    with context.database.write() as connection:
        return rescue.renew(connection, refs, context.worker, context.now() + context.lease)
