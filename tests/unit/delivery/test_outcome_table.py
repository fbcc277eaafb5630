"""Every row of the outcome table: what an answer means for its delivery and for its endpoint."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.delivery.rules.breaker import BreakerVerdict
from pipeline.delivery.rules.delivery import Answer, AttemptOutcome, DisabledReason, Owed, Sent, decide
from pipeline.delivery.rules.health import verdict
from pipeline.delivery.webhook.options import ClientOptions, SenderOptions
from pipeline.domain.retry_schedule import SCHEDULES, Schedule

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
FIVE_SECONDS = timedelta(seconds=5)


@dataclass(frozen=True)
class Row:
    """What follows: for the delivery, for the breaker, for the endpoint; the least delay; how the failure is called."""

    outcome: AttemptOutcome
    verdict: BreakerVerdict
    code: str | None
    delay: timedelta | None = None
    pause: timedelta | None = None
    disable: DisabledReason | None = None
    overload: bool = False


def success(**given: object) -> Row:
    return Row(AttemptOutcome.SUCCEEDED, BreakerVerdict.SUCCEEDED, None, **given)  # type: ignore[arg-type]


def failure(code: str, **given: object) -> Row:
    given = {"delay": FIVE_SECONDS} | given
    return Row(AttemptOutcome.RETRY, BreakerVerdict.FAILED, code, **given)  # type: ignore[arg-type]


def refusal(status: int) -> Row:
    return Row(AttemptOutcome.RETRY, BreakerVerdict.ANSWERED, f"http_{status}", delay=FIVE_SECONDS)


def throttle(status: int, pause: timedelta) -> Row:
    return Row(AttemptOutcome.SNOOZED, BreakerVerdict.ANSWERED, f"http_{status}", delay=pause, pause=pause)


def end(status: int, disable: DisabledReason | None = None) -> Row:
    return Row(AttemptOutcome.DEAD, BreakerVerdict.ANSWERED, f"http_{status}", disable=disable)


def of_one_message(code: str, **given: object) -> Row:
    given = {"delay": FIVE_SECONDS} | given
    return Row(AttemptOutcome.RETRY, BreakerVerdict.ANSWERED, code, **given)  # type: ignore[arg-type]


def not_sent(code: str) -> Row:
    return Row(AttemptOutcome.RETRY, BreakerVerdict.NOTHING, code, delay=FIVE_SECONDS)


OF_TARGETS: list[tuple[Answer, Row]] = [
    (Answer(202, text="stream ORDERS seq 17"), success()),
    *[(Answer(error=code), failure(code)) for code in ("unavailable", "refused", "auth_refused")],
    *[(Answer(error=code), of_one_message(code)) for code in ("unroutable", "target_missing")],
    *[(Answer(error=code), not_sent(code)) for code in ("connection_missing", "client_missing")],
    (
        Answer(error="throttled"),
        Row(AttemptOutcome.SNOOZED, BreakerVerdict.ANSWERED, "throttled", FIVE_SECONDS, SECOND),
    ),
    *[
        (Answer(error=code), Row(AttemptOutcome.DEAD, BreakerVerdict.ANSWERED, code))
        for code in ("too_large", "rejected")
    ],
]
TABLE: list[tuple[Answer, Row]] = [
    *OF_TARGETS,
    *[(Answer(status), success()) for status in (200, 201, 202, 204, 206, 226, 299)],
    (Answer(101), refusal(101)),
    *[(Answer(status, location="h"), refusal(status)) for status in (300, 301, 302, 303, 304, 307, 308)],
    *[(Answer(status), failure(f"http_{status}")) for status in (400, 401, 402, 403, 404, 405, 406, 415, 422, 451)],
    *[(Answer(status), refusal(status)) for status in (408, 409, 413, 414, 423, 425, 431)],
    (Answer(410), end(410, DisabledReason.GONE)),
    (Answer(429), throttle(429, MINUTE)),
    (Answer(429, retry_after="7"), throttle(429, timedelta(seconds=7))),
    (Answer(503, retry_after="120"), throttle(503, 2 * MINUTE)),
    (Answer(503), failure("http_503")),
    *[(Answer(status), failure(f"http_{status}", delay=MINUTE, overload=True)) for status in (502, 504)],
    *[(Answer(status), failure(f"http_{status}")) for status in (500, 501, 505, 507, 511, 599)],
    (Answer(200, control="disable"), success(disable=DisabledReason.RECEIVER_REQUEST)),
    (Answer(500, control="disable"), end(500, DisabledReason.RECEIVER_REQUEST)),
    (Answer(500, control="abort-message"), end(500)),
    (Answer(200, control="abort-message"), success()),
    (Answer(error="timeout"), failure("timeout", delay=MINUTE, overload=True)),
    *[
        (Answer(error=code), failure(code))
        for code in (
            *("connect_timeout", "connection_refused", "connection_reset", "network_unreachable", "connection_failed"),
            *("dns_not_found", "dns_failure", "dns_timeout", "tls_verify", "tls_handshake", "protocol_error"),
        )
    ],
    (
        Answer(error="ssrf_blocked"),
        Row(AttemptOutcome.RETRY, BreakerVerdict.NOTHING, "ssrf_blocked", delay=FIVE_SECONDS),
    ),
    (Answer(error="config_error"), Row(AttemptOutcome.DEAD, BreakerVerdict.NOTHING, "config_error")),
    (
        Answer(error="internal_error"),
        Row(AttemptOutcome.RETRY, BreakerVerdict.NOTHING, "internal_error", delay=FIVE_SECONDS),
    ),
]


@pytest.mark.parametrize(("answer", "row"), TABLE, ids=lambda each: repr(each) if isinstance(each, Answer) else "")
def test_a_first_attempt_has_the_outcome_that_the_table_says(answer: Answer, row: Row) -> None:
    owed = Owed(1, "https://h/", "https://h:443", 1, "msg_1", b"{}", NOW)
    decision = decide(Sent(owed, answer, NOW, NOW), Schedule(rng=random.Random(1)))
    assert (decision.outcome, verdict(answer, decision)) == (row.outcome, row.verdict)
    assert (answer.code, answer.is_overload) == (row.code, row.overload)
    assert (decision.pause, decision.disable) == (row.pause, row.disable)
    assert (decision.delay is None) == (row.delay is None)
    if decision.delay is not None and row.delay is not None:
        assert decision.delay >= row.delay
        # The delay is the schedule's, or what was asked for: never both.
        assert decision.delay <= max(row.delay, FIVE_SECONDS + timedelta(seconds=2))


@pytest.mark.parametrize(("name", "attempts"), [("standard", 12), ("short", 5)])
def test_a_schedule_gives_up_after_its_attempts(name: str, attempts: int) -> None:
    outcomes = []
    for attempt in range(1, attempts + 1):
        owed = Owed(1, "https://h/", "https://h:443", attempt, "msg_1", b"{}", NOW)
        outcomes.append(decide(Sent(owed, Answer(500), NOW, NOW), SCHEDULES[name]).outcome)
    assert outcomes == [AttemptOutcome.RETRY] * (attempts - 1) + [AttemptOutcome.DEAD]


def test_the_short_schedule_takes_about_a_quarter_of_an_hour() -> None:
    total = sum(SCHEDULES["short"].delays, timedelta())
    assert timedelta(minutes=13) <= total <= timedelta(minutes=15)


def test_a_lease_that_could_end_before_its_answer_is_recorded_is_refused() -> None:
    options = SenderOptions(client=ClientOptions(deadline_seconds=3_600))
    assert options.lease >= timedelta(seconds=3_600 + 5)
    with pytest.raises(ValueError, match="lease_margin is 4 s; with less than 5 s a delivery could be sent again"):
        SenderOptions(lease_margin=timedelta(seconds=4))


def test_two_failures_at_the_same_instant_are_tried_at_different_times() -> None:
    delays = {SCHEDULES["standard"].delay_after(1) for _ in range(1_000)}
    assert len(delays) > 990
