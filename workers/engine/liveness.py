"""Signs of life of a worker process: given while it makes progress, and not merely because it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from pipeline.context import Context
from pipeline.execution.liveness import are_left_waiting, are_released, show_life
from pipeline.log import get_logger
from workers.engine.periodic import PeriodicThread

log = get_logger(__name__)

#: How often the thread that consumes says that it comes round.
BEAT_SECONDS = 2.0


class LivenessThread:
    """Shows life while the consuming thread comes round and what waits for this worker is consumed.

    While the broker is away there is nothing to consume: that is no reason to have the worker started anew.
    """

    def __init__(
        self, context: Context, stages: Collection[str], *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """Args:
        stages: the stages whose messages this process consumes.
        seconds: a clock that never goes back.
        """
        self._context = context
        self._stages = stages
        self._seconds = seconds
        self._patience = context.settings.lease_seconds / 2
        self._beat_at = self._received_at = seconds()
        #: When items were last seen waiting, since the first of them was left waiting for too long.
        self._neglected_at: float | None = None
        self._is_connected = False
        self._rounds = PeriodicThread("pipeline-vitals", [(min(BEAT_SECONDS, self._patience / 2), self.look)])

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        self._rounds.stop()

    def connected(self, is_connected: bool) -> None:
        """Hear that messages can be consumed, or can not any more."""
        self._beat_at = self._received_at = self._seconds()
        self._is_connected = is_connected

    def beat(self, *, is_full: bool = False) -> None:
        """Hear from the thread that consumes; `is_full`: it holds as many messages as it may."""
        self._beat_at = self._seconds()
        if is_full:
            self.received()

    def received(self) -> None:
        """Hear that a message came."""
        self._received_at = self._seconds()

    def look(self) -> None:
        """Show life, or say why not."""
        now = self._seconds()
        if self._is_connected and now - self._beat_at > self._patience + BEAT_SECONDS:
            log.warning("consumer_stuck", seconds=round(now - self._beat_at, 1))
        elif self._is_connected and self._stages and self._neglects(now):
            log.warning("not_consuming", seconds=round(now - self._received_at, 1))
        else:
            show_life(self._context)

    def _neglects(self, now: float) -> bool:
        """Whether items are left waiting: until a message comes, or none has waited for as long as a lease.

        What is left is taken back and released anew, with a new lease: that is no reason to be calm again.
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
