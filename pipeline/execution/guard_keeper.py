"""Keep the guards of batches: count in the transaction that records outcomes, and pause or cancel what they fire on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection

from pipeline.alerts.rules.observations import Observation
from pipeline.batches.control import recall, stop_for_guard
from pipeline.batches.sql.batches import find_complete
from pipeline.context import Context
from pipeline.database.locks import lock_rows
from pipeline.database.tables import batches
from pipeline.domain.alerts.guard import GuardAction
from pipeline.guards import guard_watch
from pipeline.guards.guard_watch import GuardMemory
from pipeline.guards.guards import end_alerts


class GuardKeeper:
    """Keeps the guards of batches for one thread. A batch without guards costs it one look every two seconds."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._memory = GuardMemory()
        self._stopped: list[int] = []

    def lock_guarded(self, connection: Connection, batch_ids: set[int]) -> set[int]:
        """Return which of these batches have guards. If any has, the rows of all of them are locked.

        Items are locked before batches, and batches before guards.
        """
        guarded = self._memory.find_guarded(connection, batch_ids)
        if guarded:
            lock_rows(connection, batches, list(batch_ids))
        return guarded

    def observe(
        self, connection: Connection, seen: Mapping[int, Counter[Observation]], guarded: Collection[int], now: datetime
    ) -> None:
        """Count observations for the guards of these batches, and pause or cancel those whose guards fire."""
        context, self._stopped = self._context, []
        for fired in guard_watch.observe(connection, seen, guarded, now):
            if fired.action is GuardAction.ALERT:
                continue
            is_cancelled = fired.action is GuardAction.CANCEL
            if stop_for_guard(context, connection, fired.batch_id, fired.name, is_cancelled=is_cancelled):
                self._stopped.append(fired.batch_id)
        for batch_id in find_complete(connection, guarded):
            # It has come to its end before the guard could do anything.
            end_alerts(connection, batch_id, "batch_ended", now)

    def recall_stopped(self) -> None:
        """Take back the released items of batches that the last transaction has stopped, once it is committed.

        What a process does not come to is done by the sweeps.
        """
        stopped, self._stopped = self._stopped, []
        for batch_id in stopped:
            recall(self._context, batch_id)
