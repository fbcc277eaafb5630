"""Accept a chunk of messages: items, rejections and what is known of the source, in one transaction.

The source is told only after the commit. If the process dies between the two, the source delivers the messages again,
and this transaction drops them: by their offsets, or by their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection

from pipeline.batches.sql import items
from pipeline.batches.store_items import numbered
from pipeline.batches.submission import Submission, insert_batch
from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.database.row import Row
from pipeline.domain.ids import new_batch_id
from pipeline.errors import Conflict
from pipeline.intakes.read_chunk import ReadChunk
from pipeline.intakes.rules.messages import Chunk, IntakeMessage, advance, is_accepted, is_ahead
from pipeline.intakes.rules.options import Dedupe, IntakeOptions
from pipeline.intakes.sql import intakes, open_batches, received
from pipeline.intakes.tell_rejected import tell_rejected

#: Times that a chunk is accepted anew because somebody has just paused or cancelled the open batch.
_ATTEMPTS = 5
_DEFAULTS = IntakeOptions()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a chunk.

    Args:
        items: number of new items.
        refused: whether each new message was refused, in order; of one with several items, each of them.
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


class UnknownMessage(Exception):
    """Nothing says whether a message was accepted before."""


class _NotOpen(Exception):
    """The batch was paused or cancelled while this transaction added items to it."""


def accept(
    context: Context, intake_id: int, submission: Submission, chunk: Chunk, options: IntakeOptions = _DEFAULTS
) -> Accepted:
    """Store what is new in a chunk. Safe to repeat.

    Raises:
        UnknownMessage: nothing says whether a message was accepted before; nothing was written.
        BacklogFull: too many items wait; nothing was written.
        Unreachable: the database does not answer; nothing is known.
    """
    read = ReadChunk(context, submission, chunk, options.body)
    for _ in range(_ATTEMPTS):
        transaction = _Acceptance(context, intake_id, submission, read, options)
        try:
            return retrying(transaction.run, patience=context.lease)
        except _NotOpen:
            continue
    raise Conflict("the open batches of this intake are paused or cancelled as fast as they are opened")


class _Decided(NamedTuple):
    """What becomes of new messages: rows of items, rows of rejections, and whether each was refused."""

    kept: list[Row]
    rejected: list[dict[str, Any]]
    refused: list[bool]
    repeated: int


class _Acceptance:
    """One attempt to accept a chunk."""

    def __init__(
        self, context: Context, intake_id: int, submission: Submission, read: ReadChunk, options: IntakeOptions
    ) -> None:
        self._context, self._intake_id, self._submission = context, intake_id, submission
        self._read, self._options = read, options

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
        """Return the messages that were not accepted before, by number; those that keys decide about are among them."""
        new = self._read.messages
        if self._read.ranges:
            new = {line: each for line, each in new.items() if not is_accepted(each, next_offsets)}
        if not self._has_ids:
            return new
        by_id: dict[str, int] = {}
        for line, each in new.items():
            if each.message_id is not None:
                by_id.setdefault(each.message_id, line)
            elif not self._is_known_by_key(each):
                raise UnknownMessage(
                    "a message has no id, so that one delivered twice would be accepted twice; name the `key` of items "
                    "in the definition, or accept that with --dedupe none"
                )
        unseen = received.add_seen(connection, self._intake_id, list(by_id), self._context.now())
        lines = {by_id[each] for each in unseen}
        return {line: each for line, each in new.items() if line in lines or each.message_id is None}

    @property
    def _has_ids(self) -> bool:
        return self._options.dedupe == Dedupe.ID or (self._options.dedupe == Dedupe.AUTO and not self._read.ranges)

    def _is_known_by_key(self, message: IntakeMessage) -> bool:
        if self._options.dedupe == Dedupe.KEY:
            return True
        is_auto = self._options.dedupe == Dedupe.AUTO and not self._read.ranges
        return is_auto and message.message_id is None and self._read.has_keys

    def _store(self, connection: Connection, intake: Row, new: Mapping[int, IntakeMessage]) -> Accepted:
        batch_id = intake["batch_id"]
        if batch_id is not None and not open_batches.is_open(connection, batch_id):
            batch_id = None
        decided = self._decide(connection, batch_id, new)
        first = 1 if batch_id is None else intake["next_position"]
        # A rejection that is sent to somebody is an event, and every event is one of a batch.
        if batch_id is None and (decided.kept or (decided.rejected and self._options.reject_to)):
            batch_id = self._open(connection)
        for position, row in enumerate(decided.kept, first):
            row["position"] = position
        if decided.kept:
            items.add(connection, numbered(decided.kept, batch_id))
        self._keep_rejected(connection, batch_id, decided.rejected)
        duplicates = len(self._read.messages) - len(new) + decided.repeated
        accepted = Accepted(len(decided.kept), decided.refused, duplicates)
        self._count(connection, new, accepted=accepted.items, rejected=len(decided.rejected), duplicates=duplicates)
        place = {"batch_id": batch_id, "next_position": first + accepted.items}
        intakes.change(connection, self._intake_id, last_message_at=self._context.now(), **place)
        # The row of the batch last: it is locked for as short as possible.
        if batch_id is not None and (decided.kept or decided.rejected):
            if not open_batches.grow(connection, batch_id, accepted.items):
                raise _NotOpen
            tell_rejected(self._context, connection, batch_id, intake, decided.rejected, self._options.reject_to)
        return accepted

    def _decide(self, connection: Connection, batch_id: int | None, new: Mapping[int, IntakeMessage]) -> _Decided:
        read = self._read
        records = read.records_of(new)
        repeated = self._drop_repeated_keys(connection, records)
        # Copies: a repeated attempt numbers them anew.
        rows = {each: dict(read.rows[each]) for each in records if each in read.rows and each not in repeated}
        reasons = {each: read.reasons[each] for each in records if each in read.reasons}
        reasons |= self._refuse_known_keys(connection, batch_id, rows)
        return _Decided(
            kept=[row for each, row in rows.items() if each not in reasons],
            rejected=[read.rejected(each, reason) for each, reason in sorted(reasons.items())],
            refused=[each in reasons for each in records if each not in repeated],
            repeated=len(repeated),
        )

    def _drop_repeated_keys(self, connection: Connection, records: Sequence[int]) -> set[int]:
        """Return the records whose keys were accepted before, of those that are known by their keys."""
        by_key: dict[str, int] = {}
        given = []
        for each in records:
            if each in self._read.rows and self._is_known_by_key(self._read.message_of(each)):
                given.append(each)
                by_key.setdefault(f"key:{self._read.rows[each]['key']}", each)
        unseen = received.add_seen(connection, self._intake_id, list(by_key), self._context.now())
        return set(given) - {by_key[each] for each in unseen}

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

    def _keep_rejected(
        self, connection: Connection, batch_id: int | None, rejected: Sequence[Mapping[str, Any]]
    ) -> None:
        given = {"intake_id": self._intake_id, "batch_id": batch_id, "rejected_at": self._context.now()}
        received.add_rejects(connection, [{**given, **each} for each in rejected])

    def _count(self, connection: Connection, new: Mapping[int, IntakeMessage], **added: int) -> None:
        skipped = sum(each.body is None for each in new.values())
        intakes.count(connection, self._intake_id, skipped=skipped, **added)
