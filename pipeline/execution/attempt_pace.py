"""How long attempts at each stage took lately, for those who decide how many workers there should be."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from pipeline.context import Context
from pipeline.database import totals
from pipeline.execution.record import Done


class AttemptPace:
    """Sums up the attempts of this process, and lets the mean that all processes share follow. Thread-safe."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._microseconds: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()

    def add(self, done: Sequence[Done]) -> None:
        """Add attempts that have ended, where metrics are counted."""
        if not self._context.meter.is_on:
            return
        with self._lock:
            for each in done:
                lasted = (each.ended_at - each.started_at).total_seconds()
                self._microseconds[each.stage.value] += int(max(lasted, 0.0) * 1e6)
                self._attempts[each.stage.value] += 1

    def share(self) -> None:
        """Write the means since the last call. Called about once a minute."""
        with self._lock:
            microseconds, attempts = self._microseconds, self._attempts
            self._microseconds, self._attempts = Counter(), Counter()
        if not attempts:
            return
        with self._context.database.write() as connection:
            for stage, number in sorted(attempts.items()):
                totals.follow(connection, totals.ATTEMPT_MICROSECONDS + stage, microseconds[stage] // number)
