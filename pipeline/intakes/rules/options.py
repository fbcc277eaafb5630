"""The options of an intake, as they are stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import orjson

from pipeline.intakes.rules.bodies import MessageFormat


class Dedupe(StrEnum):
    """By what a message is known that comes again."""

    #: Its offset, or else its id, or else the key of its item.
    AUTO = "auto"
    #: Its id.
    ID = "id"
    #: The key of its item, which is then unique in the intake for as long as ids are kept.
    KEY = "key"
    #: Nothing, in a source without offsets.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """When batches are sealed, and how much is taken.

    Args:
        roll_items: a batch is sealed once it has so many items; the chunk that reaches it is accepted whole.
        roll_seconds: or so long after its first item.
        roll_idle: or once no message has come for so long, in seconds.
        chunk: messages accepted in one transaction, at most.
        max_pending: nothing is taken while so many items of the intake wait, until half of them are done.
        max_reject_rate: share of the last 1,000 messages that may be refused before the intake stops itself.
        dedupe: by what a message is known that comes again.
        reject_to: URL that receives `item.rejected` for each message that cannot be an item.
        items: the field of a message that holds its item, or a list of items.
        has_lines: each line of a message is an item.
    """

    roll_items: int = 10_000
    roll_seconds: float = 3_600
    roll_idle: float = 60
    chunk: int = 500
    max_pending: int = 50_000
    max_reject_rate: float = 0.5
    dedupe: str = Dedupe.AUTO.value
    reject_to: str | None = None
    items: str | None = None
    has_lines: bool = False

    @property
    def body(self) -> MessageFormat:
        """How items stand in messages."""
        return MessageFormat(self.has_lines, self.items)

    def to_json(self) -> str:
        """Return the options as they are stored."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> IntakeOptions:
        """Return stored options."""
        return cls(**orjson.loads(text))

    def is_due(self, *, items: int, opened_at: datetime, last_message_at: datetime, now: datetime) -> bool:
        """Return whether an open batch is to be sealed."""
        is_old = now - opened_at >= timedelta(seconds=self.roll_seconds)
        is_idle = now - last_message_at >= timedelta(seconds=self.roll_idle)
        return items >= self.roll_items or is_old or is_idle
