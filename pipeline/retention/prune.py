"""Deleting batches that completed long ago, with all their rows.

A batch that still has callbacks to send is kept, however old. If a run is killed or stopped, the next one continues
where it left off. Several runs at the same time share the work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.access import token_sql
from pipeline.batches.sql import definitions
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery.sql import notices
from pipeline.errors import InvalidInput
from pipeline.exports.rules.export_state import ExportState
from pipeline.exports.sql import exports as export_sql
from pipeline.intakes.sql import received
from pipeline.log import get_logger
from pipeline.retention import sql

log = get_logger(__name__)

#: How many positions of a batch (items, events and deliveries) are deleted in one transaction.
SPAN = 2_000
#: How much longer than its callbacks a batch is kept for an export that is not complete.
EXPORT_PATIENCE = timedelta(days=7)
#: How long ids of messages are kept: longer than any queue redelivers.
SEEN_FOR = timedelta(days=15)
#: How many batches are read, and notices and definitions deleted, in one transaction.
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Pruned:
    """The numbers of rows that were deleted, or would be.

    Args:
        credentials: sessions and stream tokens of the HTTP API, which are deleted when they have expired.
        messages: ids of messages that intakes have accepted, and messages that they refused.
        kept: batches that are old enough, but have callbacks to send or results to export.
        waits_for: how many of these batches are waiting for each endpoint or target of an export, by its name.
    """

    batches: int = 0
    items: int = 0
    deliveries: int = 0
    definitions: int = 0
    notices: int = 0
    credentials: int = 0
    messages: int = 0
    kept: int = 0
    waits_for: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        return not (self.batches or self.items or self.deliveries or self.definitions or self.notices)


def prune(context: Context, before: datetime, *, is_stopped: Callable[[], bool] = lambda: False) -> Pruned:
    """Delete batches that completed before an instant, in transactions of a few thousand rows.

    Also delete older definitions that no batch uses, older notices, and expired sessions and stream tokens.

    Args:
        before: an aware datetime.
        is_stopped: called between transactions; once it returns True, the rest is left to the next run.

    Returns:
        The numbers of rows deleted.

    Raises:
        InvalidInput: `before` has no time zone.
    """
    run = _Run(context, _checked(before), is_stopped)
    with context.database.read() as connection:
        unfinished = sql.find_unfinished(connection)
    for batch_id in unfinished:
        run.delete_rest(batch_id)
    for row in _old(context, before):
        if is_stopped():
            break
        run.delete(row["id"])
    run.repeat("definitions", lambda connection: definitions.prune(connection, before, PAGE))
    run.repeat("messages", lambda connection: received.delete_seen(connection, context.now() - SEEN_FOR, PAGE))
    run.repeat("messages", lambda connection: received.delete_rejects(connection, before, PAGE))
    run.repeat("notices", lambda connection: notices.prune(connection, before, PAGE))
    run.repeat("credentials", lambda connection: token_sql.delete_expired(connection, context.now(), PAGE))
    return run.result()


def prunable(context: Context, before: datetime) -> Pruned:
    """Return how many batches, items and deliveries `prune` would delete, and how many batches it would keep."""
    run = _Run(context, _checked(before), lambda: False)
    for row in _old(context, before):
        if run.shared_bundles(row["id"]) is None:
            continue
        with context.database.read() as connection:
            run.counts["deliveries"] += sql.count_deliveries(connection, row["id"])
        run.counts["batches"] += 1
        run.counts["items"] += row["total"]
    return run.result()


class _Run:
    """One run, and what it has deleted so far."""

    def __init__(self, context: Context, before: datetime, is_stopped: Callable[[], bool]) -> None:
        self._context = context
        self._before = before
        self._is_stopped = is_stopped
        self.counts: Counter[str] = Counter()
        self._waits_for: Counter[str] = Counter()

    def result(self) -> Pruned:
        return Pruned(**self.counts, waits_for=dict(sorted(self._waits_for.items())))

    def shared_bundles(self, batch_id: int) -> list[int] | None:
        """Return the bundles that a batch shares with others, or None if it has callbacks to send and must be kept.

        This may take a long time if there are many deliveries. It locks nothing.
        """
        with self._context.database.read() as connection:
            shared = sql.find_shared_bundles(connection, batch_id)
            return None if self._must_keep(connection, batch_id, shared) else shared

    def _must_keep(self, connection: Connection, batch_id: int, shared: Sequence[int]) -> bool:
        """Return whether a batch has callbacks to send or results to export. If so, count it as kept, and what it
        waits for.
        """
        waits_for = sql.find_waiting_origins(connection, batch_id, shared)
        waits_for += export_sql.find_awaited(connection, batch_id, self._before - EXPORT_PATIENCE)
        self._waits_for.update(waits_for)
        self.counts["kept"] += bool(waits_for)
        return bool(waits_for)

    def delete(self, batch_id: int) -> None:
        """Delete a batch with all its rows, unless it has callbacks to send."""
        shared = self.shared_bundles(batch_id)
        if shared is None:
            return
        with self._context.database.write() as connection:
            is_locked = sql.lock_completed(connection, batch_id, self._before)
            if not is_locked or self._must_keep(connection, batch_id, shared):
                # It was replayed, or another run deletes it.
                return
            self._report_incomplete(connection, batch_id)
            sql.keep_totals(connection, batch_id)
            sql.delete_batch(connection, batch_id, shared)
            self.counts["batches"] += 1
            if sql.last_position(connection, batch_id) < SPAN:
                # In the same transaction: small batches are numerous.
                self._delete_span(connection, batch_id, 0)
                return
            sql.mark_unfinished(connection, batch_id)
        self.delete_rest(batch_id)

    def _report_incomplete(self, connection: Connection, batch_id: int) -> None:
        for row in export_sql.find_of_batch(connection, batch_id):
            if row["state"] != ExportState.COMPLETE:
                lost = {"target": row["target"], "error": row["last_error"]}
                log.warning("export_incomplete", batch=row["public_id"], export=row["id"], **lost)

    def delete_rest(self, batch_id: int) -> None:
        """Delete the remaining rows of a deleted batch, unless another run is doing so."""
        low: int | None = 0
        while low is not None:
            if self._is_stopped():
                return
            with self._context.database.write() as connection:
                if not sql.lock_unfinished(connection, batch_id):
                    return
                self._delete_span(connection, batch_id, low)
                low = sql.next_position(connection, batch_id, low + SPAN)
                if low is None:
                    sql.mark_finished(connection, batch_id)

    def _delete_span(self, connection: Connection, batch_id: int, low: int) -> None:
        items, deliveries = sql.delete_span(connection, batch_id, low, low + SPAN)
        self.counts["items"] += items
        self.counts["deliveries"] += deliveries

    def repeat(self, name: str, step: Callable[[Connection], int]) -> None:
        """Repeat a step, which deletes up to a page of rows, until it deletes fewer. Count them under `name`."""
        number = PAGE
        while number == PAGE and not self._is_stopped():
            with self._context.database.write() as connection:
                number = step(connection)
            self.counts[name] += number


def _old(context: Context, before: datetime) -> Iterator[Row]:
    """Yield batches that completed before an instant, oldest first."""
    after = 0
    while True:
        with context.database.read() as connection:
            page = sql.read_page(connection, after, PAGE)
        for row in page:
            if row["created_at"] >= before:
                # Batches that follow were created even later.
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
