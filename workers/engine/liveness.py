"""Renew a worker's liveness lease while it makes progress, not merely while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from pipeline.context import Context
from pipeline.domain.item import Stage
from pipeline.execution.liveness import are_left_waiting, are_released, show_life
from pipeline.log import get_logger
from workers.engine.periodic import PeriodicThread

log = get_logger(__name__)

#: Seconds between heartbeats of the consumer's event loop.
BEAT_SECONDS = 2.0


class LivenessThread:
    """Renews the lease while the consumer's event loop runs and waiting items are consumed.

    While the broker is unreachable there is nothing to consume; that is no reason to restart the worker.
    """

    def __init__(
        self, context: Context, queues: Collection[str], *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """Args:
        queues: the queues that this process serves.
        seconds: a monotonic clock.
        """
        self._context = context
        self._queues = queues
        self._stages = [stage for stage in Stage if stage in queues]
        self._seconds = seconds
        self._patience = context.settings.lease_seconds / 2
        self._beat_at = self._received_at = seconds()
        #: When items were last seen waiting, after an item had waited too long.
        self._neglected_at: float | None = None
        self._is_connected = False
        self._rounds = PeriodicThread("pipeline-vitals", [(min(BEAT_SECONDS, self._patience / 2), self.look)])

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        self._rounds.stop()

    def connected(self, is_connected: bool) -> None:
        """Note whether the consumer is connected."""
        self._beat_at = self._received_at = self._seconds()
        self._is_connected = is_connected

    def beat(self, *, is_full: bool = False) -> None:
        """Note a heartbeat of the consumer.

        Args:
            is_full: whether it holds as many messages as its prefetch limit allows.
        """
        self._beat_at = self._seconds()
        if is_full:
            self.received()

    def received(self) -> None:
        """Note that a message arrived."""
        self._received_at = self._seconds()

    def problem(self) -> str | None:
        """Return why the work of this process does not progress, from memory; None if it does.

        A database or broker that does not answer is no problem of this process.
        """
        silent = self._seconds() - self._beat_at
        if self._is_connected and silent > self._patience + BEAT_SECONDS:
            return f"the consumer has not come round for {silent:.0f} s"
        if self._is_connected and self._neglected_at is not None:
            return f"items wait, and no message has arrived for {self._seconds() - self._received_at:.0f} s"
        return None

    def look(self) -> None:
        """Renew the liveness lease, or log why not."""
        now = self._seconds()
        if self._is_connected and now - self._beat_at > self._patience + BEAT_SECONDS:
            log.warning("consumer_stuck", seconds=round(now - self._beat_at, 1))
        elif self._is_connected and self._stages and self._neglects(now):
            log.warning("not_consuming", seconds=round(now - self._received_at, 1))
        else:
            show_life(self._context, self._queues)

    def _neglects(self, now: float) -> bool:
        """Return whether items are left waiting, until a message arrives or none has waited for a whole lease.

        Items left waiting are taken back and released again with a new lease, which must not reset this.
        """
        if now - self._received_at <= self._patience:
            self._neglected_at = None
        elif self._neglected_at is None:
            self._neglected_at = now if are_left_waiting(self._context, self._stages) else None
        elif are_released(self._context, self._stages):
            self._neglected_at = now
        elif now - self._neglected_at > self._context.settings.lease_seconds:
            self._neglected_at = None
        return self._neglected_at is not None
