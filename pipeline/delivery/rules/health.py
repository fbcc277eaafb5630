"""The health of an endpoint, and its consequences: warnings, the breaker, and finally disabling it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pipeline.delivery.rules.breaker import Breaker, BreakerState, BreakerVerdict
from pipeline.delivery.rules.delivery import (
    BLOCKED,
    CLIENT_MISSING,
    CONNECTION_MISSING,
    INTERNAL,
    REJECTED,
    TARGET_MISSING,
    THROTTLED,
    TOO_LARGE,
    UNROUTABLE,
    UNUSABLE,
    Answer,
    AttemptOutcome,
    Decision,
    Sent,
    is_alert_channel,
)
from pipeline.delivery.rules.notice import NoticeType

#: An endpoint that has been failing for this long causes a notice.
WARNINGS = (timedelta(hours=1), timedelta(hours=24), timedelta(days=3))
#: An endpoint is disabled if it has accepted nothing for this long and still fails,
DISABLE_AFTER = timedelta(days=5)
#: and this many different events failed, so that one event that nobody could accept is not the cause.
DISABLE_EVENTS = 10
#: The last success is stored once a minute, so that a healthy endpoint's row is seldom written.
SUCCESS_EVERY = timedelta(minutes=1)

#: Statuses with which a receiver refuses this request, not every request.
_OF_ONE_REQUEST = frozenset({408, 409, 413, 414, 423, 425, 431})
#: Codes with which a message target refuses this message, or this route.
_OF_ONE_MESSAGE = frozenset({UNROUTABLE, TARGET_MISSING, TOO_LARGE, REJECTED, THROTTLED})
_NOT_SENT = frozenset({BLOCKED, UNUSABLE, INTERNAL, CONNECTION_MISSING, CLIENT_MISSING})


@dataclass(frozen=True, slots=True)
class Health:
    """The health of an endpoint, as stored in its row.

    Args:
        not_before: it asked not to be called before this.
        failing_since: first failure since the last success.
        failing_events: number of different events that failed since the last success.
        warned: number of warnings since the last success.
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
        """Whether it has been failing for too long. Time that passes without an attempt does not count."""
        if self.failing_since is None or self.last_failure_at is None:
            return False
        return self.last_failure_at - self.failing_since >= DISABLE_AFTER and self.failing_events >= DISABLE_EVENTS


def verdict(answer: Answer, decision: Decision) -> BreakerVerdict:
    """Return what an answer says about the endpoint, regardless of the delivery."""
    if answer.is_success:
        return BreakerVerdict.SUCCEEDED
    if answer.error in _NOT_SENT:
        return BreakerVerdict.NOTHING
    if answer.error in _OF_ONE_MESSAGE:
        return BreakerVerdict.ANSWERED
    status = answer.status
    is_choice = decision.pause is not None or decision.disable is not None or answer.control == "abort-message"
    if status is not None and (is_choice or status < 400 or status in _OF_ONE_REQUEST):
        return BreakerVerdict.ANSWERED
    return BreakerVerdict.FAILED


def observe(
    health: Health, answers: Sequence[tuple[Sent, Decision]], rng: random.Random
) -> tuple[Health, list[tuple[NoticeType, str]]]:
    """Return an endpoint's health after answers, given in order of arrival, and the notices they cause."""
    notices: list[tuple[NoticeType, str]] = []
    for sent, decision in answers:
        before, health = health, _observe_one(health, sent, decision, rng)
        notices += _notices(before, health, sent.answer)
    return health, notices


def _observe_one(health: Health, sent: Sent, decision: Decision, rng: random.Random) -> Health:
    found, at = verdict(sent.answer, decision), sent.ended_at
    if found is BreakerVerdict.FAILED and is_alert_channel(sent.owed.origin):
        # Few alerts go there, each by its own schedule: no breaker may hold them longer.
        found = BreakerVerdict.ANSWERED
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
        # The first event to fail may be a retry. After that, an event is new if its first attempt fails. No delivery
        # lives as long as DISABLE_AFTER, so every event that fails by then was first tried, and counted, meanwhile.
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
            (NoticeType.OPENED, f"not called for a while, because too many attempts failed; last: {answer.code}")
        )
    if (is_closed and not was_closed) or (before.warned and not after.warned):
        found.append((NoticeType.RECOVERED, "it accepts deliveries again"))
    if after.warned > before.warned and after.failing_since is not None:
        hours = WARNINGS[after.warned - 1] // timedelta(hours=1)
        since = after.failing_since.isoformat(timespec="seconds")
        found.append((NoticeType.FAILING, f"nothing accepted for {hours} h, since {since}; last: {answer.code}"))
    return found
