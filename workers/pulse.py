"""The pulse: a thread that dispatches when woken and sweeps by time. Two of them are harmless."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import Unreachable
from pipeline.log import get_logger
from pipeline.services.context import Context
from pipeline.services.dispatch import Dispatched, Dispatcher
from pipeline.services.reconcile import cancel_rest, reconcile
from pipeline.services.rescue import dead_holders, renew, rescue_lost
from pipeline.services.submit import discard_abandoned
from pipeline.storage import batches
from pipeline.storage.releases import Ref

log = get_logger(__name__)

T = TypeVar("T")

#: The safety net: a round that nobody asked for.
IDLE_SECONDS = 1.0
#: After how long what a dead process held is looked for.
RESCUE_SECONDS = 5.0
#: After how long counters are compared with rows.
RECONCILE_SECONDS = 300.0


class Pulse:
    """Dispatches, keeps leases, sweeps."""

    def __init__(
        self,
        context: Context,
        dispatcher: Dispatcher,
        *,
        under_way: Callable[[], list[Ref]],
        wake_sender: Callable[[], None],
    ) -> None:
        self._context = context
        self._dispatcher = dispatcher
        self._under_way = under_way
        self._wake_sender = wake_sender
        self._woken = threading.Event()
        self._stopping = False
        self._patience = min(IDLE_SECONDS, context.settings.lease_seconds / 4)
        self._dead: list[str] = []
        self._thread = threading.Thread(target=self._run, name="pipeline-pulse", daemon=True)
        self._every: list[tuple[float, Callable[[], None]]] = [
            # First: after a pause of this process its own items are overdue, but not lost.
            (self._patience, self._renew),
            (RESCUE_SECONDS, self._rescue),
            (RESCUE_SECONDS, self._clean_up),
            (RECONCILE_SECONDS, self._reconcile),
        ]

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Dispatch now."""
        self._woken.set()

    def stop(self) -> None:
        """Stop dispatching and let another take over."""
        self._stopping = True
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        # Drift is rare and counting is not free: a start does not wait for it.
        next_at = [0.0] * (len(self._every) - 1) + [time.monotonic() + RECONCILE_SECONDS]
        while not self._stopping:
            self._guarded(lambda: self._sweep(next_at))
            dispatched = self._guarded(lambda: self._dispatcher.dispatch(self._dead))
            self._woken.wait(self._pause(dispatched))
            self._woken.clear()
        self._guarded(self._dispatcher.stop)

    def _guarded(self, step: Callable[[], T]) -> T | None:
        """Log what goes wrong and go on: the next round tries again."""
        try:
            return step()
        except Unreachable as error:
            log.warning("database_unreachable", error=str(error))
        except Exception:
            log.exception("pulse_failed")
        return None

    def _sweep(self, next_at: list[float]) -> None:
        now = time.monotonic()
        for index, (seconds, sweep) in enumerate(self._every):
            if now >= next_at[index]:
                next_at[index] = now + seconds
                sweep()

    def _pause(self, dispatched: Dispatched | None) -> float:
        if dispatched is None or dispatched.next_due_at is None:
            return self._patience
        until_due = (dispatched.next_due_at - self._context.now()).total_seconds()
        return min(self._patience, max(0.005, until_due))

    def _rescue(self) -> None:
        self._dead = dead_holders(self._context)
        rescued = rescue_lost(self._context, self._dead)
        if rescued.taken_back or rescued.given_up or rescued.deliveries:
            log.info(
                "rescued",
                items=rescued.taken_back,
                given_up=rescued.given_up,
                deliveries=rescued.deliveries,
                dead=self._dead,
            )
            self._wake_sender()

    def _renew(self) -> None:
        renew(self._context, self._under_way())

    def _clean_up(self) -> None:
        discard_abandoned(self._context)
        with self._context.database.read() as connection:
            cancelled = [row["id"] for row in batches.unfinished(connection) if row["state"] == "cancelled"]
        for batch_id in cancelled:
            cancel_rest(self._context, batch_id)

    def _reconcile(self) -> None:
        with self._context.database.read() as connection:
            open_batches = [row["id"] for row in batches.unfinished(connection) if row["state"] != "accepting"]
        for batch_id in open_batches:
            reconcile(self._context, batch_id)
