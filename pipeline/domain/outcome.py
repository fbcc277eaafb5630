"""What an attempt came to, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pipeline.domain.backoff import Backoff
from pipeline.domain.item import Classification, Enrichment

#: Characters of an error message that are kept.
MESSAGE_LIMIT = 500

#: Times an item may be put off by `Throttled` before it is given up; each waits at least the backoff.
MAX_SNOOZES = 1_000


class FailureKind(StrEnum):
    """How a failure is to be treated; decided where it is seen."""

    #: May pass: retried with backoff, an attempt is counted.
    TRANSIENT = "transient"
    #: The other side asked to wait: retried, no attempt is counted.
    THROTTLED = "throttled"
    #: Will not pass: dead at once.
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a stage failed for one item.

    Args:
        type: the exception's class name, or a code such as `timeout` or `unknown_label`.
        message: for people; cut to `MESSAGE_LIMIT`, made safe to store.
        retry_after: seconds the other side asked for.
    """

    kind: FailureKind
    type: str
    message: str
    retry_after: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", storable(self.message)[:MESSAGE_LIMIT])


#: What running a stage on one item gives.
Outcome = Classification | Enrichment | Failure


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again after this long; `counts` is False for a snooze."""

    delay: timedelta
    counts: bool = True


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The item is dead."""


def decide(failure: Failure, *, attempt: int, snoozes: int, max_attempts: int, backoff: Backoff) -> RetryAfter | GiveUp:
    """Say what follows from a failed attempt. `attempt` counts from 1 and includes this one."""
    if failure.kind is FailureKind.PERMANENT:
        return GiveUp()
    if failure.kind is FailureKind.THROTTLED:
        if snoozes >= MAX_SNOOZES:
            return GiveUp()
        return RetryAfter(backoff.after(snoozes + 1, retry_after=failure.retry_after), counts=False)
    if attempt >= max_attempts:
        return GiveUp()
    return RetryAfter(backoff.after(attempt, retry_after=failure.retry_after))


def storable(text: str) -> str:
    """Return `text` without what PostgreSQL or UTF-8 cannot hold: NUL and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
