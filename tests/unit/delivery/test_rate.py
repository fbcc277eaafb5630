"""The rate of an endpoint: never more than it says, and never much less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.rules.rate import Rate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def started(rate: Rate, looks: list[float], greed: int = 10_000) -> int:
    """Return how many requests start by somebody who looks at these instants and takes what is free."""
    paid_until, total = None, 0
    for at in sorted(looks):
        count = min(rate.free(paid_until, NOW + seconds(at)), greed)
        if count:
            paid_until = rate.charge(paid_until, NOW + seconds(at), count)
        total += count
    return total


def test_ten_a_second_are_a_hundred_in_ten_seconds() -> None:
    assert started(Rate(10, 1), [number / 100 for number in range(1_000)]) == 100


@given(
    st.floats(0.01, 10_000),
    st.integers(1, 1_000),
    st.lists(st.floats(0, 100), min_size=1, max_size=200),
    st.integers(1, 50),
)
def test_no_more_start_than_rate_and_burst_allow(per_second: float, burst: int, looks: list[float], greed: int) -> None:
    most = burst + (max(looks) - min(looks)) * per_second
    assert started(Rate(per_second, burst), looks, greed) <= most * (1 + 1e-4) + 1e-3


def test_after_a_pause_a_burst_may_start_and_not_more() -> None:
    rate = Rate(2, 5)
    assert rate.free(None, NOW) == 5
    assert rate.free(NOW - timedelta(days=1), NOW) == 5
    assert rate.free(rate.charge(None, NOW, 5), NOW) == 0


@given(st.floats(0.01, 10_000), st.integers(1, 1_000), st.floats(0, 500))
def test_when_it_says_to_come_back_something_is_free(per_second: float, burst: int, ahead: float) -> None:
    rate = Rate(per_second, burst)
    paid_until = NOW + seconds(ahead)
    at = rate.next_at(paid_until, NOW)
    assert at >= NOW
    assert rate.free(paid_until, max(at, NOW) + timedelta(microseconds=2)) >= 1


def test_nobody_is_woken_for_each_of_a_thousand_a_second() -> None:
    rate = Rate(1_000, 100)
    assert rate.next_at(rate.charge(None, NOW, 100), NOW) == NOW + timedelta(milliseconds=20)


@pytest.mark.parametrize(
    ("per_second", "burst", "found"),
    [(None, 5, None), (10, None, Rate(10, 1)), (500, None, Rate(500, 50)), (0.5, 3, Rate(0.5, 3))],
)
def test_a_burst_that_is_not_given_is_a_tenth_of_a_second(
    per_second: float | None, burst: int | None, found: Rate | None
) -> None:
    assert Rate.of(per_second, burst) == found
