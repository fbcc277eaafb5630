"""Delete batches that completed long ago, whole, with everything that hangs on them.

A batch that still has callbacks to send is kept, however old. Killed or stopped anywhere, the next run goes on; several
at once share the work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from pipeline.batches.sql import definitions
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery.sql import notices
from pipeline.errors import InvalidInput
from pipeline.retention import sql

#: Positions of a batch whose items, events and deliveries are deleted in one transaction.
SPAN = 2_000
#: Batches looked at, and notices and definitions deleted, in one transaction.
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted, or would be.

    Args:
        kept: batches that are old enough, and have callbacks to send.
        waits_for: how many of these each endpoint holds back, by its name.
    """

    batches: int = 0
    items: int = 0
    deliveries: int = 0
    definitions: int = 0
    notices: int = 0
    kept: int = 0
    waits_for: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        return not (self.batches or self.items or self.deliveries or self.definitions or self.notices)


def prune(context: Context, before: datetime, *, is_stopped: Callable[[], bool] = lambda: False) -> Pruned:
    """Delete what completed before an instant, in transactions of some thousand rows, and return what that was.

    Beside batches: definitions that no batch has any more, and notices, both where they are older.

    Args:
        before: aware.
        is_stopped: asked between two transactions; what is left is for the next run.

    Raises:
        InvalidInput: `before` has no time zone.
    """
    run = _Run(context, _checked(before), is_stopped)
    with context.database.read() as connection:
        unfinished = sql.left(connection)
    for batch_id in unfinished:
        run.remove(batch_id)
    for row in _old(context, before):
        if is_stopped():
            break
        run.take(row["id"])
    run.repeat("definitions", lambda connection: definitions.prune(connection, before, PAGE))
    run.repeat("notices", lambda connection: notices.prune(connection, before, PAGE))
    return run.result()


def prunable(context: Context, before: datetime) -> Pruned:
    """Return what `prune` would delete of batches, items and deliveries, and which batches it would keep."""
    run = _Run(context, _checked(before), lambda: False)
    for row in _old(context, before):
        if run.bundles(row["id"]) is None:
            continue
        with context.database.read() as connection:
            run.counts["deliveries"] += sql.count_deliveries(connection, row["id"])
        run.counts["batches"] += 1
        run.counts["items"] += row["total"]
    return run.result()


class _Run:
    """One run, and what it has come to so far."""

    def __init__(self, context: Context, before: datetime, is_stopped: Callable[[], bool]) -> None:
        self._context = context
        self._before = before
        self._is_stopped = is_stopped
        self.counts: Counter[str] = Counter()
        self._waits_for: Counter[str] = Counter()

    def result(self) -> Pruned:
        return Pruned(**self.counts, waits_for=dict(sorted(self._waits_for.items())))

    def bundles(self, batch_id: int) -> list[int] | None:
        """Return the bundles that a batch shares with others; None where it has callbacks to send, and is kept.

        This takes a while where there are many deliveries, and locks nothing.
        """
        with self._context.database.read() as connection:
            shared = sql.shared(connection, batch_id)
            return None if self._keeps(connection, batch_id, shared) else shared

    def _keeps(self, connection: Connection, batch_id: int, shared: Sequence[int]) -> bool:
        origins = sql.undelivered(connection, batch_id, shared)
        self._waits_for.update(origins)
        self.counts["kept"] += bool(origins)
        return bool(origins)

    def take(self, batch_id: int) -> None:
        """Delete a batch with what hangs on it, unless it has callbacks to send."""
        shared = self.bundles(batch_id)
        if shared is None:
            return
        with self._context.database.write() as connection:
            if not sql.lock(connection, batch_id, self._before) or self._keeps(connection, batch_id, shared):
                # It was replayed, or another took it.
                return
            sql.begin(connection, batch_id, shared)
            self.counts["batches"] += 1
            if sql.last_position(connection, batch_id) < SPAN:
                # All in one: where batches are small, they are many.
                self._remove(connection, batch_id, 0)
                return
            sql.leave(connection, batch_id)
        self.remove(batch_id)

    def remove(self, batch_id: int) -> None:
        """Delete what hung on a batch that is gone, unless another is just doing so."""
        with self._context.database.read() as connection:
            last = sql.last_position(connection, batch_id)
        for low in range(0, last + 1, SPAN):
            if self._is_stopped():
                return
            with self._context.database.write() as connection:
                if not sql.hold(connection, batch_id):
                    return
                self._remove(connection, batch_id, low)
                if low + SPAN > last:
                    sql.end(connection, batch_id)

    def _remove(self, connection: Connection, batch_id: int, low: int) -> None:
        items, deliveries = sql.remove(connection, batch_id, low, low + SPAN)
        self.counts["items"] += items
        self.counts["deliveries"] += deliveries

    def repeat(self, what: str, step: Callable[[Connection], int]) -> None:
        """Delete `what` until a step is not full."""
        number = PAGE
        while number == PAGE and not self._is_stopped():
            with self._context.database.write() as connection:
                number = step(connection)
            self.counts[what] += number


def _old(context: Context, before: datetime) -> Iterator[Row]:
    """Yield batches that completed before an instant, the oldest first."""
    after = 0
    while True:
        with context.database.read() as connection:
            page = sql.page(connection, after, PAGE)
        for row in page:
            if row["created_at"] >= before:
                # Nor did any that was submitted later.
                return
            if row["completed_at"] is not None and row["completed_at"] < before:
                yield row
        if len(page) < PAGE:
            return
        after = page[-1]["id"]


def _checked(before: datetime) -> datetime:
    if before.tzinfo is None:
        raise InvalidInput(f"before is {before}, which has no time zone; give an aware datetime")
    return before
