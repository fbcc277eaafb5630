"""The disposition of an item: what became of it at a stage, which decides how its message is acknowledged."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class DispositionKind(StrEnum):
    """What became of an item that a message brought."""

    #: The stage succeeded and another one follows: its message may be published, or this process goes on with it.
    ADVANCED = "advanced"
    #: The stage succeeded, but the batch is paused or cancelled: the next stage waits in SQL.
    HELD = "held"
    #: The last stage succeeded.
    SUCCEEDED = "succeeded"
    #: The attempt failed; the item waits until its `due_at`.
    PUT_OFF = "put_off"
    #: The item was given up.
    DEAD = "dead"
    #: Nothing changed: the item was released again in the meantime, or its message was delivered twice.
    STALE = "stale"
    #: The outcome could not be recorded. The lease runs out, and the item is run again.
    LOST = "lost"
    #: The process is stopping and returned the item. Another process runs it, without using up an attempt.
    HANDED_BACK = "handed_back"


class Disposition(NamedTuple):
    """What became of an item; `error` is the type of the failure behind it, if there is one."""

    kind: DispositionKind
    error: str | None = None
