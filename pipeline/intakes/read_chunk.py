"""The messages of a chunk as rows of items, or as reasons why they are none."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from pipeline.batches.submission import Submission, rules_of
from pipeline.batches.validate import ItemValidator
from pipeline.context import Context
from pipeline.domain.payload import Record, Rejection
from pipeline.intakes.rules.bodies import MessageFormat
from pipeline.intakes.rules.messages import MAX_KEPT_BYTES, Chunk, IntakeMessage


class _Read(NamedTuple):
    message: int
    text: bytes
    place: str


class ReadChunk:
    """A chunk that is read and validated once, however often its transaction is repeated.

    Attributes:
        messages: by number.
        rows: of items, by the number of the record.
        reasons: why the others are none, by the number of the record.
    """

    def __init__(self, context: Context, submission: Submission, chunk: Chunk, body: MessageFormat) -> None:
        rules = rules_of(context, submission)
        self.messages = dict(enumerate(chunk.messages, 1))
        self.ranges = sorted(chunk.ranges, key=lambda each: each.partition)
        self.has_keys = rules.key_field is not None
        self.reasons: dict[int, str] = {}
        self._records: dict[int, _Read] = {}
        validator = ItemValidator(rules, self._refuse, all_or_none=False)
        self.rows = {row["line"]: row for row in validator.rows(self._read(body), context.now)}

    def _read(self, body: MessageFormat) -> Iterator[Record | Rejection]:
        for number, message in self.messages.items():
            for part in () if message.body is None else body.read(message.body):
                record = len(self._records) + 1
                if part.payload is None:
                    self._records[record] = _Read(number, part.text, "")
                    yield Rejection(record, part.reason, "")
                else:
                    self._records[record] = _Read(number, part.text, part.reason)
                    yield Record(record, part.payload)

    def _refuse(self, rejection: Rejection) -> None:
        self.reasons[rejection.line] = self._records[rejection.line].place + rejection.reason

    def records_of(self, messages: Collection[int]) -> list[int]:
        """Return the numbers of the records in some messages, in order."""
        return [number for number, each in self._records.items() if each.message in messages]

    def message_of(self, record: int) -> IntakeMessage:
        """Return the message that holds a record."""
        return self.messages[self._records[record].message]

    def rejected(self, record: int, reason: str) -> dict[str, Any]:
        """Return a record that is no item as it is kept."""
        message = self.message_of(record)
        return {
            "partition": message.partition,
            "offset": message.offset,
            "message_id": message.message_id,
            "reason": reason,
            "body": self._records[record].text[:MAX_KEPT_BYTES],
        }
