"""What people do to batches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    """What somebody did to a batch."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Intervention:
    """Something that somebody did to a batch.

    Args:
        actor: who: `user@host`, or `key:NAME` over HTTP.
        affected: the number of items that were replayed; None for any other action.
    """

    action: Action
    actor: str
    at: datetime
    affected: int | None = None
