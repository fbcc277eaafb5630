"""Record what answers say about endpoints: pauses, the breaker, warnings, and disabling."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.delivery.rules.delivery import (
    AUTH_REFUSED,
    BLOCKED,
    CLIENT_MISSING,
    CONNECTION_MISSING,
    UNUSABLE,
    AttemptOutcome,
    Decision,
    DisabledReason,
    Sent,
    is_alert_channel,
)
from pipeline.delivery.rules.failure_text import explain
from pipeline.delivery.rules.health import SUCCESS_EVERY, Health, observe
from pipeline.delivery.rules.notice import Notice, NoticeType
from pipeline.delivery.sql import endpoints, health, notices
from pipeline.delivery.sql.pause import pause_deliveries

#: Minimum interval between notices about what an operator has to mend, and what nobody waits a day for.
NOTICED_EVERY = timedelta(hours=1)

_NOTICED = {
    BLOCKED: NoticeType.BLOCKED,
    UNUSABLE: NoticeType.UNUSABLE,
    CONNECTION_MISSING: NoticeType.UNUSABLE,
    CLIENT_MISSING: NoticeType.UNUSABLE,
    AUTH_REFUSED: NoticeType.AUTH_REFUSED,
}
_rng = random.Random()

#: Answers and decisions by endpoint, in order of arrival.
Answers = Mapping[str, Sequence[tuple[Sent, Decision]]]


def observe_all(connection: Connection, decided: Sequence[tuple[Sent, Decision]]) -> list[Notice]:
    """Update the health of endpoints after attempts. Return the notices to log after the commit.

    Rows of endpoints are locked last, in order of their names.
    """
    answers = _by_origin(decided)
    now = max(sent.ended_at for sent, _ in decided)
    failing = sorted({sent.owed.origin for sent, decision in decided if _must_be_known(decision)})
    if failing:
        health.ensure_rows(connection, failing, now)
    known = health.lock_changing(connection, sorted(answers), failing, now - SUCCESS_EVERY)
    noticed = _observe_each(connection, known, answers, now)
    # Plain successes have no further consequences.
    telling = {origin: answers[origin] for origin in failing}
    noticed += _at_once(connection, telling)
    noticed += _disable(connection, known, telling, now)
    notices.add(connection, noticed)
    return noticed


def _must_be_known(decision: Decision) -> bool:
    return decision.outcome is not AttemptOutcome.SUCCEEDED or decision.disable is not None


def _by_origin(decided: Sequence[tuple[Sent, Decision]]) -> Answers:
    answers: dict[str, list[tuple[Sent, Decision]]] = {}
    for each in sorted(decided, key=lambda each: each[0].ended_at):
        answers.setdefault(each[0].owed.origin, []).append(each)
    return answers


def _observe_each(connection: Connection, known: dict[str, Health], answers: Answers, now: datetime) -> list[Notice]:
    """Update and save the health of endpoints in `known` that changed."""
    noticed, changed = [], {}
    for origin, before in known.items():
        after, notable = observe(before, answers[origin], _rng)
        noticed += [Notice(origin, type_, now, detail) for type_, detail in notable]
        if after != before:
            changed[origin] = after
    health.save(connection, changed, now)
    known.update(changed)
    return noticed


def _at_once(connection: Connection, answers: Answers) -> list[Notice]:
    found = {}
    for origin, of_origin in answers.items():
        for sent, _ in of_origin:
            type_ = _NOTICED.get(sent.answer.error or "")
            if type_ is not None:
                found[origin, type_] = Notice(origin, type_, sent.ended_at, explain(sent.answer))
    return [notice for notice in found.values() if not _was_told(connection, notice)]


def _was_told(connection: Connection, notice: Notice) -> bool:
    last = notices.find_last_at(connection, notice.origin, notice.type)
    return last is not None and notice.at - last < NOTICED_EVERY


def _disable(connection: Connection, known: Mapping[str, Health], answers: Answers, now: datetime) -> list[Notice]:
    noticed = []
    reasons = {
        origin: DisabledReason.FAILING
        for origin, each in known.items()
        if each.must_be_disabled and not is_alert_channel(origin)
    }
    reasons |= {
        origin: decision.disable for origin, each in answers.items() for _, decision in each if decision.disable
    }
    for origin, reason in sorted(reasons.items()):
        if endpoints.disable(connection, origin, reason.value, now):
            noticed.append(Notice(origin, NoticeType.DISABLED, now, reason.value))
    if reasons:
        pause_deliveries(connection, sorted(reasons))
    return noticed
