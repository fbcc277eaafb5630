from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.execution.rules.fairness import FLOOR, SLACK, Credits, Demand, Window

demands = st.lists(
    st.builds(Demand, st.integers(1, 10**6), st.integers(1, 100), st.integers(0, 5_000)),
    min_size=1,
    max_size=50,
    unique_by=lambda demand: demand.batch_id,
)
places = st.integers(0, 20_000)


@given(demands=demands, free=places, busy=places)
def test_no_batch_gets_more_than_its_part_and_some_slack(demands: list[Demand], free: int, busy: int) -> None:
    weights = sum(demand.weight for demand in demands)
    shares = Credits().shares(demands, free=free, window=free + busy)
    for demand in demands:
        part = (free + busy) * demand.weight / weights
        assert 0 <= shares[demand.batch_id] + demand.in_flight <= max(SLACK * part + 1, demand.in_flight, FLOOR)
        if demand.in_flight:
            assert shares[demand.batch_id] <= max(free * demand.weight / weights, 1)


@given(demands=demands, free=places)
def test_a_batch_with_nothing_in_flight_always_gets_something(demands: list[Demand], free: int) -> None:
    shares = Credits().shares(demands, free=free, window=free)
    assert all(shares[demand.batch_id] >= FLOOR for demand in demands if not demand.in_flight)


@pytest.mark.parametrize("free", [1, 2, 7, 100])
def test_over_many_rounds_places_are_divided_by_weight_however_few_a_round_has(free: int) -> None:
    credits, released = Credits(), Counter[int]()
    for _ in range(4_000):
        for batch_id, share in credits.shares([Demand(1, 3, 50), Demand(2, 1, 50)], free=free, window=1_000).items():
            credits.spend(batch_id, share)
            released[batch_id] += share
    assert released[1] / released[2] == pytest.approx(3, rel=0.01)
    assert released.total() == pytest.approx(4_000 * free, abs=2)


def test_what_a_batch_did_not_want_gives_it_no_claim_later() -> None:
    credits = Credits()
    for _ in range(100):
        credits.shares([Demand(1, 1, 10)], free=100, window=1_000)
    shares = credits.shares([Demand(1, 1, 10), Demand(2, 1, 10)], free=100, window=1_000)
    assert shares[1] <= 500
    assert shares[2] == 50


def test_a_batch_of_slow_items_keeps_no_more_than_its_part_and_some_slack() -> None:
    shares = Credits().shares([Demand(1, 1, 800), Demand(2, 1, 50)], free=150, window=1_000)
    assert shares == {2: 75, 1: 0}


def test_the_batch_with_the_least_in_flight_comes_first() -> None:
    shares = Credits().shares([Demand(1, 1, 90), Demand(2, 1, 10), Demand(3, 1, 0)], free=200, window=300)
    assert list(shares) == [3, 2, 1]


def test_the_window_follows_the_measured_rate_within_bounds() -> None:
    window = Window(smallest=100, largest=2_000)
    assert [window.size(rate) for rate in (0, 1_000, 100_000)] == [100, 200, 2_000]
