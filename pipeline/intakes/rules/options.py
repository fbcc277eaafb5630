"""The options of an intake, as they are stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import orjson


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
    """

    roll_items: int = 10_000
    roll_seconds: float = 3_600
    roll_idle: float = 60
    chunk: int = 500
    max_pending: int = 50_000
    max_reject_rate: float = 0.5

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
