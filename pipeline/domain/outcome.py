"""The outcome of an attempt at a stage, and whether to retry."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from pipeline.domain.backoff import Backoff
from pipeline.domain.body_text import KEPT_BYTES, body_text
from pipeline.domain.item import Classification, Enrichment

#: Longest stored error message, in characters.
MAX_MESSAGE_LENGTH = 500

#: How often `Throttled` may snooze an item before it is given up; each snooze waits at least the backoff.
MAX_SNOOZES = 1_000


class FailureKind(StrEnum):
    """How a failure is treated; decided where it occurs."""

    #: May go away: retried with backoff; counts as an attempt.
    TRANSIENT = "transient"
    #: The other side asked to wait: retried; does not count as an attempt.
    THROTTLED = "throttled"
    #: Will not go away: the item is dead at once.
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a stage failed for one item.

    Args:
        type: the exception's class name, or a code such as `timeout` or `unknown_label`.
        message: for people; truncated to `MAX_MESSAGE_LENGTH` and stripped of characters that cannot be stored.
        retry_after: how long the other side asked to wait, in seconds.
        answer: the beginning of what the other side answered; truncated to `KEPT_BYTES`.
        is_waiting: the item waits because the service behind a step refuses everybody: nothing is counted.
    """

    kind: FailureKind
    type: str
    message: str
    retry_after: float | None = None
    answer: str | None = field(default=None, repr=False)
    is_waiting: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", strip_unstorable(self.message)[:MAX_MESSAGE_LENGTH])
        if self.answer is not None:
            kept = self.answer.encode(errors="replace")
            object.__setattr__(self, "answer", body_text(kept, KEPT_BYTES, is_complete=True))


#: The result of running a stage on one item.
Outcome = Classification | Enrichment | Failure


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Retry after `delay`; a snooze does not count as an attempt, and an item that only waits is not snoozed either."""

    delay: timedelta
    counts_attempt: bool = True
    counts_snooze: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The item is dead."""


def decide_retry(
    failure: Failure, *, attempt: int, snoozes: int, max_attempts: int, backoff: Backoff
) -> RetryAfter | GiveUp:
    """Decide whether and when to retry after a failed attempt.

    Args:
        attempt: the number of this attempt, counted from 1.
        snoozes: how often the item has been snoozed so far.
    """
    if failure.kind is FailureKind.PERMANENT:
        return GiveUp()
    if failure.is_waiting:
        return RetryAfter(timedelta(seconds=failure.retry_after or 0.0), counts_attempt=False)
    if failure.kind is FailureKind.THROTTLED:
        if snoozes >= MAX_SNOOZES:
            return GiveUp()
        delay = backoff.delay_after(snoozes + 1, retry_after=failure.retry_after)
        return RetryAfter(delay, counts_attempt=False, counts_snooze=True)
    if attempt >= max_attempts:
        return GiveUp()
    return RetryAfter(backoff.delay_after(attempt, retry_after=failure.retry_after))


def strip_unstorable(text: str) -> str:
    """Return `text` without NUL and with lone surrogates as `?`: PostgreSQL and UTF-8 cannot hold them."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
