"""Signs of life of a worker process: given while it makes progress, and not merely because it runs."""

from __future__ import annotations

import time
from collections.abc import Collection

from pipeline.log import get_logger
from pipeline.services.context import Context
from pipeline.services.vitals import are_left_waiting, show_life
from workers.rounds import Rounds

log = get_logger(__name__)

#: How often the thread that consumes says that it comes round.
BEAT_SECONDS = 2.0


class Vitals:
    """Shows life while the consuming thread comes round and what waits for this worker is consumed.

    While the broker is away there is nothing to consume: that is no reason to have the worker started anew.
    """

    def __init__(self, context: Context, stages: Collection[str]) -> None:
        """`stages`: the stages whose messages this process consumes."""
        self._context = context
        self._stages = stages
        self._patience = context.settings.lease_seconds / 2
        self._beat_at = self._received_at = time.monotonic()
        self._is_connected = False
        self._rounds = Rounds("pipeline-vitals", [(min(BEAT_SECONDS, self._patience / 2), self._look)])

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        self._rounds.stop()

    def connected(self, is_connected: bool) -> None:
        """Hear that messages can be consumed, or can not any more."""
        self._beat_at = self._received_at = time.monotonic()
        self._is_connected = is_connected

    def beat(self) -> None:
        """Hear from the thread that consumes."""
        self._beat_at = time.monotonic()

    def received(self) -> None:
        """Hear that a message came."""
        self._received_at = time.monotonic()

    def _look(self) -> None:
        now = time.monotonic()
        if self._is_connected and now - self._beat_at > self._patience + BEAT_SECONDS:
            log.warning("consumer_stuck", seconds=round(now - self._beat_at, 1))
        elif self._is_connected and now - self._received_at > self._patience and self._is_left_waiting():
            log.warning("not_consuming", seconds=round(now - self._received_at, 1))
        else:
            show_life(self._context)

    def _is_left_waiting(self) -> bool:
        return bool(self._stages) and are_left_waiting(self._context, self._stages)
