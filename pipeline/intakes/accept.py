"""Accept a chunk of messages: items, rejections and what is known of the source, in one transaction.

The source is told only after the commit. If the process dies between the two, the source delivers the messages again,
and this transaction drops them: by their offsets, or by their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from pipeline.batches.sql import items
from pipeline.batches.store_items import numbered
from pipeline.batches.submission import Submission, insert_batch, rules_of
from pipeline.batches.validate import ItemValidator
from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.database.row import Row
from pipeline.domain.ids import new_batch_id
from pipeline.domain.payload import Rejection
from pipeline.errors import Conflict
from pipeline.intakes.rules.messages import (
    MAX_KEPT_BYTES,
    Chunk,
    IntakeMessage,
    advance,
    is_accepted,
    is_ahead,
    read_body,
)
from pipeline.intakes.sql import intakes, open_batches, received

#: Times that a chunk is accepted anew because somebody has just paused or cancelled the open batch.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a chunk.

    Args:
        items: number of new items.
        refused: whether each new message was refused, in order.
        duplicates: number of messages that were accepted before.
        go_back: by partition, where the reader must go on, if a chunk before this one is missing. Nothing was written
            then.
        is_stopped: whether the intake is paused. Nothing was written then.
    """

    items: int = 0
    refused: Sequence[bool] = ()
    duplicates: int = 0
    go_back: Mapping[str, str] = field(default_factory=dict)
    is_stopped: bool = False


class _NotOpen(Exception):
    """The batch was paused or cancelled while this transaction added items to it."""


def accept(context: Context, intake_id: int, submission: Submission, chunk: Chunk) -> Accepted:
    """Store what is new in a chunk. Safe to repeat.

    Raises:
        BacklogFull: too many items wait; nothing was written.
        Unreachable: the database does not answer; nothing is known.
    """
    read = _ReadChunk(context, submission, chunk)
    for _ in range(_ATTEMPTS):
        transaction = _Acceptance(context, intake_id, submission, read)
        try:
            return retrying(transaction.run, patience=context.lease)
        except _NotOpen:
            continue
    raise Conflict("the open batches of this intake are paused or cancelled as fast as they are opened")


class _ReadChunk:
    """The messages of a chunk as rows of items, or as reasons why they are none, by their number."""

    def __init__(self, context: Context, submission: Submission, chunk: Chunk) -> None:
        self.messages = dict(enumerate(chunk.messages, 1))
        self.ranges = sorted(chunk.ranges, key=lambda each: each.partition)
        self.reasons: dict[int, str] = {}
        validator = ItemValidator(rules_of(context, submission), self._refuse, all_or_none=False)
        given = [read_body(each.body, line) for line, each in self.messages.items() if each.body is not None]
        self.rows = {row["line"]: row for row in validator.rows(given, context.now)}

    def _refuse(self, rejection: Rejection) -> None:
        self.reasons[rejection.line] = rejection.reason


class _Acceptance:
    """One attempt to accept a chunk."""

    def __init__(self, context: Context, intake_id: int, submission: Submission, read: _ReadChunk) -> None:
        self._context, self._intake_id, self._submission, self._read = context, intake_id, submission, read

    def run(self) -> Accepted:
        with self._context.database.write() as connection:
            next_offsets = self._lock_positions(connection)
            behind = {
                each.partition: next_offsets[each.partition]
                for each in self._read.ranges
                if is_ahead(each, next_offsets[each.partition])
            }
            intake = intakes.lock(connection, self._intake_id)
            if behind or intake["state"] != "running":
                return Accepted(go_back=behind, is_stopped=intake["state"] != "running")
            new = self._new_messages(connection, next_offsets)
            accepted = self._store(connection, intake, new)
            for each in self._read.ranges:
                end = advance(each, next_offsets[each.partition])
                received.move_position(connection, self._intake_id, each.partition, end)
            return accepted

    def _lock_positions(self, connection: Connection) -> dict[str, str]:
        found = {}
        for each in self._read.ranges:
            received.begin_partition(connection, self._intake_id, each.partition, each.start)
            found[each.partition] = received.lock_position(connection, self._intake_id, each.partition)
        return found

    def _new_messages(self, connection: Connection, next_offsets: dict[str, str]) -> dict[int, IntakeMessage]:
        """Return the messages that were not accepted before, by number."""
        given = self._read.messages
        if self._read.ranges:
            return {line: each for line, each in given.items() if not is_accepted(each, next_offsets)}
        by_id: dict[str, int] = {}
        for line, each in given.items():
            by_id.setdefault(str(each.message_id), line)
        unseen = received.add_seen(connection, self._intake_id, list(by_id), self._context.now())
        lines = {by_id[each] for each in unseen}
        return {line: each for line, each in given.items() if line in lines}

    def _store(self, connection: Connection, intake: Row, new: Mapping[int, IntakeMessage]) -> Accepted:
        # Copies: a repeated attempt numbers them anew.
        rows = {line: dict(self._read.rows[line]) for line in new if line in self._read.rows}
        reasons = {line: reason for line, reason in self._read.reasons.items() if line in new}
        batch_id = intake["batch_id"]
        if batch_id is not None and not open_batches.is_open(connection, batch_id):
            batch_id = None
        reasons |= self._refuse_known_keys(connection, batch_id, rows)
        kept = [row for line, row in rows.items() if line not in reasons]
        first = 1 if batch_id is None else intake["next_position"]
        if kept and batch_id is None:
            batch_id = self._open(connection)
        for position, row in enumerate(kept, first):
            row["position"] = position
        if kept:
            items.add(connection, numbered(kept, batch_id))
        self._reject(connection, batch_id, {line: (new[line], reason) for line, reason in sorted(reasons.items())})
        self._count(connection, new, items=len(kept), rejected=len(reasons))
        place = {"batch_id": batch_id, "next_position": first + len(kept)}
        intakes.change(connection, self._intake_id, last_message_at=self._context.now(), **place)
        # The row of the batch last: it is locked for as short as possible.
        if kept and not open_batches.grow(connection, batch_id, len(kept)):
            raise _NotOpen
        refused = [line in reasons for line, each in new.items() if each.body is not None]
        return Accepted(len(kept), refused, len(self._read.messages) - len(new))

    def _refuse_known_keys(
        self, connection: Connection, batch_id: int | None, rows: Mapping[int, Row]
    ) -> dict[int, str]:
        """Return a reason for each item whose key an item of the open batch has. The intake's lock keeps others out."""
        keys = [row["key"] for row in rows.values() if row["key"] is not None]
        known = set(items.positions_of_keys(connection, batch_id, keys)) if keys and batch_id is not None else set()
        found = {}
        for line, row in rows.items():
            if row["key"] is None:
                continue
            if row["key"] in known:
                found[line] = f"its key {row['key']!r} is also the key of another item of the open batch"
            known.add(row["key"])
        return found

    def _open(self, connection: Connection) -> int:
        batch_id = insert_batch(self._context, connection, self._submission, new_batch_id())
        open_batches.open_batch(connection, batch_id, self._intake_id, self._context.now())
        return batch_id

    def _reject(
        self, connection: Connection, batch_id: int | None, rejected: Mapping[int, tuple[IntakeMessage, str]]
    ) -> None:
        make = partial(_reject_row, self._intake_id, batch_id, self._context.now())
        received.add_rejects(connection, [make(message, reason) for message, reason in rejected.values()])

    def _count(self, connection: Connection, new: Mapping[int, IntakeMessage], *, items: int, rejected: int) -> None:
        intakes.count(
            connection,
            self._intake_id,
            accepted=items,
            rejected=rejected,
            skipped=sum(each.body is None for each in new.values()),
            duplicates=len(self._read.messages) - len(new),
        )


def _reject_row(intake_id: int, batch_id: int | None, now: Any, message: IntakeMessage, reason: str) -> dict[str, Any]:
    return {
        "intake_id": intake_id,
        "batch_id": batch_id,
        "partition": message.partition,
        "offset": message.offset,
        "message_id": message.message_id,
        "reason": reason,
        "body": (message.body or b"")[:MAX_KEPT_BYTES],
        "rejected_at": now,
    }
