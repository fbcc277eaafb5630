"""The health of an endpoint: how long it has been failing, who is told, and when it is called no more."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from pipeline.delivery.rules.breaker import Breaker, BreakerState
from pipeline.delivery.rules.delivery import Answer, Owed, Sent, decide
from pipeline.delivery.rules.health import Health, observe
from pipeline.delivery.rules.notice import NoticeType
from pipeline.domain.retry_schedule import Schedule

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RNG = random.Random(1)


def told(
    health: Health, status: int, *, after: timedelta, attempt: int = 1, is_probe: bool = False, **answer: str
) -> tuple[Health, list[NoticeType]]:
    """Return an endpoint's health after an answer, and of what people are told."""
    at = NOW + after
    owed = Owed(1, "https://h/", "https://h:443", attempt, "msg_1", b"{}", at, is_probe=is_probe)
    sent = Sent(owed, Answer(status, **answer), at, at)
    found, notices = observe(health, [(sent, decide(sent, Schedule()))], RNG)
    return found, [type_ for type_, _ in notices]


def failing(*times: timedelta, attempt: int = 1) -> Health:
    health = Health()
    for after in times:
        health, _ = told(health, 500, after=after, attempt=attempt)
    return health


def test_people_are_told_after_an_hour_a_day_and_three_days_and_once_each() -> None:
    health, notices = Health(), []
    for hours in range(100):
        health, found = told(health, 500, after=hours * HOUR)
        notices += [(hours, type_) for type_ in found if type_ is NoticeType.FAILING]
    assert notices == [(1, NoticeType.FAILING), (24, NoticeType.FAILING), (72, NoticeType.FAILING)]


def test_after_a_long_silence_people_are_told_once() -> None:
    health, found = told(failing(timedelta(0)), 500, after=4 * DAY)
    assert found.count(NoticeType.FAILING) == 1
    assert health.warned == 3


def test_five_days_and_ten_events_without_a_success_are_the_end() -> None:
    nearly = failing(*[DAY / 2 * number for number in range(10)])
    assert not nearly.must_be_disabled
    assert told(nearly, 500, after=5 * DAY)[0].must_be_disabled


def test_one_event_that_fails_for_days_is_not_the_end() -> None:
    health = failing(timedelta(0))
    for number in range(1, 30):
        health, _ = told(health, 500, after=DAY / 4 * number, attempt=number + 1)
    assert health.failing_events == 1
    assert not health.must_be_disabled


def test_a_burst_of_failures_is_not_the_end() -> None:
    assert not failing(*[timedelta(seconds=number) for number in range(1_000)]).must_be_disabled


def test_a_success_forgets_all_failures() -> None:
    health = failing(*[DAY / 2 * number for number in range(9)])
    healthy, _ = told(health, 200, after=4 * DAY + 12 * HOUR)
    assert (healthy.failing_since, healthy.failing_events, healthy.warned) == (None, 0, 0)
    assert healthy.last_success_at == NOW + 4 * DAY + 12 * HOUR
    assert not told(healthy, 500, after=6 * DAY)[0].must_be_disabled


def test_being_throttled_is_no_failure_and_pauses_the_endpoint_as_long_as_the_longest_asks() -> None:
    health, notices = told(Health(), 429, after=timedelta(0), retry_after="3600")
    health, _ = told(health, 503, after=timedelta(0), retry_after="60")
    assert (health.failing_since, health.breaker, notices) == (None, Breaker(), [])
    assert health.not_before == NOW + HOUR


def test_opening_and_recovering_are_told_once() -> None:
    health, notices = Health(), []
    for number in range(7):
        health, found = told(health, 500, after=timedelta(seconds=number))
        notices += found
    assert notices == [NoticeType.OPENED]
    probing = Health(breaker=Breaker(state=BreakerState.HALF_OPEN, trips=1), failing_since=NOW)
    assert told(probing, 500, after=HOUR / 2, is_probe=True)[1] == []
    assert told(probing, 200, after=HOUR / 2, is_probe=True)[1] == [NoticeType.RECOVERED]


def test_an_endpoint_of_which_people_were_warned_recovers_without_its_breaker() -> None:
    health = failing(timedelta(0), 2 * HOUR)
    assert told(health, 200, after=3 * HOUR)[1] == [NoticeType.RECOVERED]


def test_a_healthy_endpoint_that_answers_all_the_time_is_written_once_a_minute() -> None:
    health, _ = told(Health(), 200, after=timedelta(0))
    assert told(health, 200, after=timedelta(seconds=59))[0] == health
    assert told(health, 200, after=timedelta(seconds=60))[0] != health
