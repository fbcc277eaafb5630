"""The breaker of an endpoint: what opens it, how long, and what closes it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.rules.breaker import (
    FIRST_OPEN,
    LONGEST_OPEN,
    Breaker,
    BreakerState,
    BreakerVerdict,
    open_for,
    ramp,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RNG = random.Random(1)


def after(*verdicts: BreakerVerdict, seconds: float = 0, breaker: Breaker | None = None) -> Breaker:
    """Return a breaker after answers that came `seconds` apart."""
    breaker = breaker or Breaker()
    for number, verdict in enumerate(verdicts):
        breaker = breaker.observe(verdict, NOW + timedelta(seconds=seconds * number), is_probe=False, rng=RNG)
    return breaker


def half_open(trips: int = 1) -> Breaker:
    return Breaker(state=BreakerState.HALF_OPEN, trips=trips, open_until=NOW, consecutive_failures=5)


def test_the_fifth_failure_in_a_row_opens_it() -> None:
    assert after(*[BreakerVerdict.FAILED] * 4).state is BreakerState.CLOSED
    opened = after(*[BreakerVerdict.FAILED] * 5, seconds=3_600)
    assert (opened.state, opened.trips, opened.consecutive_failures) == (BreakerState.OPEN, 1, 5)


def test_a_success_between_failures_keeps_it_closed() -> None:
    answers = [*[BreakerVerdict.FAILED] * 4, BreakerVerdict.SUCCEEDED, *[BreakerVerdict.FAILED] * 4]
    assert after(*answers, seconds=61).state is BreakerState.CLOSED


def test_half_of_twenty_within_a_minute_opens_it() -> None:
    in_turn = [BreakerVerdict.FAILED, BreakerVerdict.SUCCEEDED] * 10
    assert after(*in_turn[:19], seconds=2).state is BreakerState.CLOSED
    assert after(*in_turn, BreakerVerdict.FAILED, seconds=2).state is BreakerState.OPEN


def test_less_than_half_of_many_keeps_it_closed() -> None:
    answers = [BreakerVerdict.FAILED, *[BreakerVerdict.SUCCEEDED] * 2] * 30
    assert after(*answers).state is BreakerState.CLOSED


def test_failures_of_another_minute_do_not_count_for_the_window() -> None:
    answers = [BreakerVerdict.FAILED, BreakerVerdict.SUCCEEDED] * 30
    assert after(*answers, seconds=4).state is BreakerState.CLOSED


def test_answers_about_one_request_and_requests_never_sent_count_nowhere() -> None:
    answers = [BreakerVerdict.FAILED, BreakerVerdict.ANSWERED, BreakerVerdict.NOTHING] * 4
    found = after(*answers)
    assert (found.state, found.consecutive_failures, found.window_attempts) == (BreakerState.CLOSED, 4, 4)


def test_while_it_is_open_answers_to_older_requests_change_nothing() -> None:
    opened = after(*[BreakerVerdict.FAILED] * 5)
    assert after(BreakerVerdict.SUCCEEDED, BreakerVerdict.FAILED, breaker=opened) == opened
    assert after(BreakerVerdict.SUCCEEDED, BreakerVerdict.FAILED, breaker=half_open()) == half_open()


@pytest.mark.parametrize("verdict", [BreakerVerdict.SUCCEEDED, BreakerVerdict.ANSWERED])
def test_a_probe_that_is_answered_closes_it_and_begins_the_ramp(verdict: BreakerVerdict) -> None:
    assert half_open(9).observe(verdict, NOW, is_probe=True, rng=RNG) == Breaker(closed_at=NOW)


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    opened = half_open(2).observe(BreakerVerdict.FAILED, NOW, is_probe=True, rng=RNG)
    assert (opened.state, opened.trips) == (BreakerState.OPEN, 3)
    assert opened.open_until is not None
    assert FIRST_OPEN * 4 <= opened.open_until - NOW <= FIRST_OPEN * 4 * 1.2


def test_after_a_probe_that_was_never_sent_another_may_go_at_once() -> None:
    found = half_open(2).observe(BreakerVerdict.NOTHING, NOW, is_probe=True, rng=RNG)
    assert (found.state, found.trips, found.open_until) == (BreakerState.OPEN, 2, NOW)


@given(st.integers(0, 10_000))
def test_it_stays_open_for_half_a_minute_doubled_each_time_up_to_an_hour(trips: int) -> None:
    found = open_for(trips, random.Random(trips))
    assert found <= LONGEST_OPEN
    assert found >= min(FIRST_OPEN * 2 ** min(trips, 20), timedelta(minutes=50))


def test_two_breakers_that_open_together_are_tried_apart() -> None:
    assert len({open_for(0, RNG) for _ in range(1_000)}) > 990


@pytest.mark.parametrize(("seconds", "most"), [(-5, 1), (0, 1), (0.9, 1), (1, 2), (3.5, 8), (6, 64), (30, None)])
def test_the_backlog_is_released_at_a_ramp_that_doubles_each_second(seconds: float, most: int | None) -> None:
    assert ramp(NOW, NOW + timedelta(seconds=seconds)) == most
    assert ramp(None, NOW) is None
