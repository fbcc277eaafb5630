"""The sweeps repair what was lost. Each may run in several processes at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pipeline.batches.control import recall
from pipeline.batches.reconcile import cancel_rest, make_releasable, reconcile
from pipeline.batches.replays.completion_hold import release_abandoned
from pipeline.batches.sql import batches
from pipeline.batches.submit_lease import discard_abandoned
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.lease_holder import certainly_dead
from pipeline.delivery import claim
from pipeline.domain.batch import BatchState
from pipeline.execution import rescue
from pipeline.execution.breaker_board import forget_unused
from pipeline.execution.rescue import forget_gone, rescue_lost
from pipeline.intakes.roll import roll_due
from pipeline.log import get_logger
from pipeline.telemetry.families import RESCUED, STATEMENT_SECONDS
from pipeline.telemetry.meter import timed
from workers.engine.database_contact import DatabaseContact
from workers.engine.periodic import PeriodicThread
from workers.engine.retention import Retention

log = get_logger(__name__)

#: Seconds between searches for work of dead processes; at most a lease.
RESCUE_SECONDS = 5.0
#: Seconds between looks for processes of this host that have died, which is much less to read.
WATCH_SECONDS = 1.0
#: Seconds between searches for items that a cancel did not reach.
CLEAN_UP_SECONDS = 2.0
#: Seconds between comparisons of counters with rows.
RECONCILE_SECONDS = 300.0


def dead_holders(context: Context) -> list[str]:
    """Return the processes of this host that hold items, deliveries or leases but are no longer running."""
    known = rescue.holders(context) | claim.holders(context.database)
    return certainly_dead(known - {context.worker})


class Sweeps:
    """Runs the sweeps until it is stopped."""

    def __init__(self, context: Context, *, keep: Callable[[], object], rescued: Callable[[], None]) -> None:
        """Args:
        keep: called before a rescue, to renew this process's own leases.
        rescued: called after a rescue that found something.
        """
        self._context = context
        self._keep = keep
        self._rescued = rescued
        self.dead: Sequence[str] = ()
        self._stopping = threading.Event()
        lease_seconds = context.settings.lease_seconds
        self._contact = DatabaseContact(
            # Twice the interval of the sweep: a busy machine may be late.
            longest_gap=max(lease_seconds / 2, 2 * CLEAN_UP_SECONDS),
            lease_seconds=lease_seconds,
            now=context.now(),
        )
        self._rounds = PeriodicThread(
            "pipeline-sweeps",
            [
                (min(RESCUE_SECONDS, lease_seconds), self._rescue),
                (WATCH_SECONDS, self.watch),
                (CLEAN_UP_SECONDS, self._clean_up),
                (RECONCILE_SECONDS, self._reconcile),
            ],
            # Drift is rare and counting is not free, so a start does not wait for it.
            later=[self._reconcile],
        )
        days = context.settings.retention_days
        # An embedded run is short and must not be delayed.
        self._retention = None if days is None or context.settings.is_embedded else Retention(context, days)

    def start(self) -> None:
        self._rounds.start()
        if self._retention:
            self._retention.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._retention:
            self._retention.stop()
        self._rounds.stop()

    def hurry(self) -> None:
        """Look for lost work now."""
        self._rounds.hurry()

    def watch(self) -> bool:
        """Look for lost work now if a process of this host has died since the last rescue; return whether one has.

        An item that kills its workers is given up after several of them have died, one after the other.
        """
        with self._context.database.read() as connection:
            known = set(leases.find_holders(connection)) - {self._context.worker}
        has_died = not set(certainly_dead(known)).issubset(self.dead)
        if has_died:
            self.hurry()
        return has_died

    def _rescue(self) -> None:
        self.dead = dead_holders(self._context)
        self._contact.answered(self._context.now())
        if self._stopping.wait(self._contact.grace(self._context.now())):
            return
        # After a pause of this process, its own items are overdue, not lost.
        self._keep()
        with timed(self._context.meter, STATEMENT_SECONDS, "sweep"):
            rescued = rescue_lost(self._context, self.dead)
        deliveries = claim.take_back(self._context.database, self._context.now(), self.dead)
        self._count(items=rescued.taken_back, given_up=rescued.given_up, deliveries=deliveries)
        if rescued.taken_back or rescued.given_up or deliveries:
            log.info(
                "rescued",
                items=rescued.taken_back,
                given_up=rescued.given_up,
                deliveries=deliveries,
                dead_processes=list(self.dead),
            )
        if rescued.taken_back or rescued.given_up or deliveries or self.dead:
            self._rescued()
        forget_gone(self._context, self.dead)

    def _count(self, **numbers: int) -> None:
        for kind, number in numbers.items():
            if number:
                self._context.meter.add(RESCUED, (kind,), number)

    def _clean_up(self) -> None:
        discard_abandoned(self._context)
        release_abandoned(self._context)
        roll_due(self._context)
        if make_releasable(self._context):
            self._rescued()
        with self._context.database.read() as connection:
            cancelled = batches.find_open(connection, BatchState.CANCELLED)
            paused = batches.find_stopped_by_guards(connection)
        self._contact.answered(self._context.now())
        for batch_id in paused:
            # What was claimed since is finished; this is for a process that died before it could recall the others.
            recall(self._context, batch_id)
        for batch_id in cancelled:
            cancel_rest(self._context, batch_id)

    def _reconcile(self) -> None:
        forget_unused(self._context)
        with self._context.database.read() as connection:
            states = BatchState.OPEN, BatchState.RUNNING, BatchState.PAUSED, BatchState.CANCELLED
            unfinished = batches.find_open(connection, *states)
        for batch_id in unfinished:
            reconcile(self._context, batch_id)
