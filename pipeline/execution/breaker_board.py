"""The breakers of the enrichers that a process runs, and what other processes have found out about them.

A healthy step costs a process nothing but a number for each call: no row is written before a breaker opens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from pipeline.alerts.episodes import open_episode, resolve_episode
from pipeline.alerts.rules.episode import Episode, Severity
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.item import WorkItem
from pipeline.domain.outcome import Failure
from pipeline.execution.sql import step_breakers
from pipeline.log import get_logger
from pipeline.stages.run.failure import from_exception
from pipeline.stages.run.step_breaker import BreakerOpening, StepBreaker, pause_after

log = get_logger(__name__)

_MOST_TEXT = 500
#: Seconds between looks for breakers that other processes have opened, while none is known to be open.
LOOK_SECONDS = 0.5
#: How long after a probe was due a breaker is forgotten: nothing has waited for it.
UNUSED_AFTER = timedelta(minutes=10)


class BreakerKey(NamedTuple):
    """Which breaker: the row of a definition, and the name of a step."""

    definition_id: int
    step: str


class HeldItems(NamedTuple):
    """Items that wait for a step, why, and those that may go on as a probe."""

    waiting: Sequence[WorkItem]
    failure: Failure
    admitted: Sequence[WorkItem]


class BreakerBoard:
    """Keeps the breakers of a process, and those in the database like them. Thread-safe."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._breakers: dict[BreakerKey, StepBreaker] = {}
        self._names: dict[int, str] = {}
        #: Keys of breakers that are open, as far as is known here.
        self._open: set[BreakerKey] = set()
        #: What calls of this process have found out and no row says yet.
        self._found: set[BreakerKey] = set()
        self._next_look = 0.0
        self._lock = threading.Lock()

    def breaker(self, definition_id: int, definition: str, step: str) -> StepBreaker:
        """Return the breaker of a step; it outlives the runner, which may be built again."""
        key = BreakerKey(definition_id, step)
        with self._lock:
            self._names[definition_id] = definition
            return self._breakers.setdefault(key, StepBreaker(step, lambda _: self._on_change(key)))

    def _on_change(self, key: BreakerKey) -> None:
        with self._lock:
            self._found.add(key)
            if self._breakers[key].is_open:
                self._open.add(key)

    @property
    def is_quiet(self) -> bool:
        """Whether no breaker is open here."""
        return not (self._open or self._found)

    def hold(self, definition_id: int, items: Sequence[WorkItem]) -> HeldItems | None:
        """Return which of the items of a definition wait for a step; None: all go on.

        If a probe is due, one of them goes on.
        """
        if not self._open:
            return None
        keys = [key for key in self._open.copy() if key.definition_id == definition_id]
        waiting = [found for key in keys if (found := self._breakers[key].waits()) is not None]
        if not waiting:
            return None
        # Of several steps that wait, each has to be probed.
        is_probed = all(self._take_probe(key, items[0]) for key in keys)
        slowest = max(waiting, key=lambda each: each.retry_after or 0.0)
        if is_probed:
            slowest.retry_after = max(self._breakers[key].seconds_left() for key in keys)
        failure = from_exception(slowest)
        return HeldItems(items[1:] if is_probed else items, failure, items[:1] if is_probed else ())

    def _take_probe(self, key: BreakerKey, item: WorkItem) -> bool:
        breaker = self._breakers[key]
        if breaker.seconds_left() > 0:
            return False
        now = self._context.now()
        with self._context.database.write() as connection:
            seconds = pause_after(breaker.probes + 1)
            is_taken = step_breakers.take_probe(
                connection, key.definition_id, key.step, now=now, until=now + timedelta(seconds=seconds)
            )
        if is_taken:
            breaker.allow_probe(item.item_id, seconds)
        return is_taken

    def synchronise(self, *, is_busy: bool) -> None:
        """Store what calls here have found out, and learn what those of other processes have.

        Args:
            is_busy: whether this process runs items; otherwise it looks only while a breaker is open.
        """
        with self._lock:
            found, self._found = self._found, set()
        try:
            for key in found:
                self._store(key)
        except Exception:
            with self._lock:
                self._found |= found
            raise
        if self._open or (is_busy and time.monotonic() >= self._next_look):
            self._next_look = time.monotonic() + LOOK_SECONDS
            with self._context.database.read() as connection:
                known = step_breakers.find_all(connection)
            self._learn(known)

    def _store(self, key: BreakerKey) -> None:
        opening = self._breakers[key].opening
        if opening is None:
            self._store_closed(key)
        else:
            self._store_open(key, opening)

    def _store_open(self, key: BreakerKey, opening: BreakerOpening) -> None:
        now, definition = self._context.now(), self._names[key.definition_id]
        error = opening.error[:_MOST_TEXT]
        with self._context.database.write() as connection:
            is_new = step_breakers.add(
                connection,
                key.definition_id,
                key.step,
                failures=opening.failures,
                calls=opening.calls,
                error=error,
                now=now,
                until=now + timedelta(seconds=pause_after(0)),
            )
            if is_new:
                open_episode(connection, _episode(key, definition, opening), now)
        if is_new:
            log.warning(
                "step_waits",
                definition=definition,
                step=key.step,
                failures=opening.failures,
                calls=opening.calls,
            )

    def _store_closed(self, key: BreakerKey) -> None:
        with self._context.database.write() as connection:
            if step_breakers.remove(connection, key.definition_id, key.step):
                resolve_episode(connection, breaker_key(key), "recovered", self._context.now())
                log.info("step_works", definition=self._names[key.definition_id], step=key.step)
        with self._lock:
            if not self._breakers[key].is_open:
                self._open.discard(key)

    def _learn(self, known: Sequence[Row]) -> None:
        now = self._context.now()
        rows = {BreakerKey(row["definition_id"], row["step"]): row for row in known}
        for key, breaker in list(self._breakers.items()):
            row = rows.get(key)
            with self._lock:
                if key in self._found:
                    continue
                if row is None:
                    self._open.discard(key)
                else:
                    self._open.add(key)
            if row is None and breaker.is_open:
                breaker.close()
            elif row is not None:
                opening = BreakerOpening(row["failures"], row["calls"], row["error"])
                breaker.open(opening, (row["open_until"] - now).total_seconds(), row["probes"])


def _episode(key: BreakerKey, definition: str, opening: BreakerOpening) -> Episode:
    # Without the error, which may be the text of a user's exception.
    return Episode(
        name="step_waits",
        key=breaker_key(key),
        severity=Severity.CRITICAL,
        summary=f"enricher {key.step} of definition {definition} waits: {opening.failures} of the last "
        f"{opening.calls} calls got 401, 403 or 5xx, or no connection",
        value={"failures": opening.failures, "observed": opening.calls, "stage": "enrich"},
    )


def forget_unused(context: Context) -> None:
    """Forget breakers that no item has come to for long: their batches are over, or are paused."""
    now = context.now()
    with context.database.write() as connection:
        for row in step_breakers.remove_unused(connection, now - UNUSED_AFTER):
            key = breaker_key(BreakerKey(row["definition_id"], row["step"]))
            resolve_episode(connection, key, "nothing_waits", now)


def breaker_key(key: BreakerKey) -> str:
    """Return the key of the alert of a breaker."""
    return f"step_waits:{key.definition_id}:{key.step}"
