"""Prune old batches periodically, on a separate thread, so that sweeps do not wait for it."""

from __future__ import annotations

import threading
from datetime import timedelta

from pipeline.context import Context
from pipeline.log import get_logger
from pipeline.retention.prune import prune
from workers.engine.periodic import PeriodicThread

log = get_logger(__name__)

#: Seconds between prunes.
PRUNE_SECONDS = 3_600.0


class Retention:
    """Prunes until it is stopped. Several processes share the work."""

    def __init__(self, context: Context, days: float) -> None:
        self._context = context
        self._kept = timedelta(days=days)
        self._stopping = threading.Event()
        self._rounds = PeriodicThread("pipeline-prune", [(PRUNE_SECONDS, self._prune)])

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        self._stopping.set()
        self._rounds.stop()

    def _prune(self) -> None:
        done = prune(self._context, self._context.now() - self._kept, is_stopped=self._stopping.is_set)
        if not done.is_nothing:
            log.info(
                "pruned",
                batches=done.batches,
                items=done.items,
                deliveries=done.deliveries,
                definitions=done.definitions,
                notices=done.notices,
                kept=done.kept,
            )
