"""How an endpoint has been answering, and what follows: warnings, the breaker, and at last that it is disabled."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pipeline.delivery.rules.breaker import Breaker, BreakerState, BreakerVerdict
from pipeline.delivery.rules.delivery import BLOCKED, INTERNAL, UNUSABLE, Answer, AttemptOutcome, Decision, Sent
from pipeline.delivery.rules.notice import NoticeType

#: People are told when an endpoint has been failing for so long.
WARNINGS = (timedelta(hours=1), timedelta(hours=24), timedelta(days=3))
#: An endpoint is disabled when it has taken nothing for so long and still fails,
DISABLE_AFTER = timedelta(days=5)
#: and so many different events failed that it is not one which nobody could take.
DISABLE_EVENTS = 10
#: The last success is kept to the minute: a healthy endpoint's row is seldom written.
SUCCESS_EVERY = timedelta(minutes=1)

#: Statuses by which a receiver refuses one request and not all of them.
_OF_ONE_REQUEST = frozenset({408, 409, 413, 414, 423, 425, 431})
_NOT_SENT = frozenset({BLOCKED, UNUSABLE, INTERNAL})


@dataclass(frozen=True, slots=True)
class Health:
    """What an endpoint's row tells of its answers.

    Args:
        not_before: it asked not to be called before.
        failing_since: first failure since a success.
        failing_events: different events that failed since a success.
        warned: warnings given since a success.
    """

    breaker: Breaker = field(default_factory=Breaker)
    not_before: datetime | None = None
    failing_since: datetime | None = None
    last_failure_at: datetime | None = None
    failing_events: int = 0
    last_success_at: datetime | None = None
    warned: int = 0

    @property
    def must_be_disabled(self) -> bool:
        """Whether it has been failing for too long; time that passes without an attempt tells nothing."""
        if self.failing_since is None or self.last_failure_at is None:
            return False
        return self.last_failure_at - self.failing_since >= DISABLE_AFTER and self.failing_events >= DISABLE_EVENTS


def verdict(answer: Answer, decision: Decision) -> BreakerVerdict:
    """Say what an answer tells of the endpoint, whatever becomes of the delivery."""
    if answer.is_success:
        return BreakerVerdict.SUCCEEDED
    if answer.error in _NOT_SENT:
        return BreakerVerdict.NOTHING
    status = answer.status
    is_choice = decision.pause is not None or decision.disable is not None or answer.control == "abort-message"
    if status is not None and (is_choice or status < 400 or status in _OF_ONE_REQUEST):
        return BreakerVerdict.ANSWERED
    return BreakerVerdict.FAILED


def observe(
    health: Health, answers: Sequence[tuple[Sent, Decision]], rng: random.Random
) -> tuple[Health, list[tuple[NoticeType, str]]]:
    """Return an endpoint's health after answers, in the order in which they came, and what people are told."""
    notices: list[tuple[NoticeType, str]] = []
    for sent, decision in answers:
        before, health = health, _observe_one(health, sent, decision, rng)
        notices += _notices(before, health, sent.answer)
    return health, notices


def _observe_one(health: Health, sent: Sent, decision: Decision, rng: random.Random) -> Health:
    found, at = verdict(sent.answer, decision), sent.ended_at
    breaker = health.breaker.observe(found, at, is_probe=sent.owed.is_probe, rng=rng)
    health = replace(health, breaker=breaker, not_before=_later(health.not_before, decision, at))
    if found is BreakerVerdict.SUCCEEDED:
        return _succeeded(health, at)
    is_failure = decision.outcome in (AttemptOutcome.RETRY, AttemptOutcome.DEAD)
    return (
        _failed(health, sent)
        if is_failure and found is not BreakerVerdict.NOTHING and decision.pause is None
        else health
    )


def _succeeded(health: Health, at: datetime) -> Health:
    is_recent = health.last_success_at is not None and at - health.last_success_at < SUCCESS_EVERY
    if is_recent and health.failing_since is None:
        return health
    return replace(health, failing_since=None, last_failure_at=None, failing_events=0, last_success_at=at, warned=0)


def _failed(health: Health, sent: Sent) -> Health:
    at = sent.ended_at
    since = health.failing_since or at
    return replace(
        health,
        failing_since=since,
        last_failure_at=at,
        # The first to fail may have been tried before; from then on an event is new when its first attempt fails. No
        # delivery lives as long as DISABLE_AFTER: what fails then was first tried while failing, hence counted.
        failing_events=health.failing_events + (sent.owed.attempt == 1 or health.failing_since is None),
        warned=max(health.warned, sum(at - since >= each for each in WARNINGS)),
    )


def _later(not_before: datetime | None, decision: Decision, at: datetime) -> datetime | None:
    if decision.pause is None:
        return not_before
    return at + decision.pause if not_before is None else max(not_before, at + decision.pause)


def _notices(before: Health, after: Health, answer: Answer) -> list[tuple[NoticeType, str]]:
    found = []
    was_closed, is_closed = (each.breaker.state is BreakerState.CLOSED for each in (before, after))
    if was_closed and not is_closed:
        found.append(
            (NoticeType.OPENED, f"left alone for a while, since too many attempts failed; last: {answer.code}")
        )
    if (is_closed and not was_closed) or (before.warned and not after.warned):
        found.append((NoticeType.RECOVERED, "it answers again"))
    if after.warned > before.warned and after.failing_since is not None:
        hours = WARNINGS[after.warned - 1] // timedelta(hours=1)
        since = after.failing_since.isoformat(timespec="seconds")
        found.append((NoticeType.FAILING, f"nothing taken for {hours} h, since {since}; last: {answer.code}"))
    return found
