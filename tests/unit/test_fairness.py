from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.fairness import FLOOR, Demand, Window, shares

demands = st.lists(
    st.builds(Demand, st.integers(1, 10**6), st.integers(1, 100), st.integers(0, 5_000)),
    min_size=1,
    max_size=50,
    unique_by=lambda demand: demand.batch_id,
)


@given(demands=demands, window=st.integers(1, 20_000))
def test_no_batch_gets_more_than_its_part_of_the_window(demands: list[Demand], window: int) -> None:
    weights = sum(demand.weight for demand in demands)
    for demand in demands:
        share = shares(demands, window)[demand.batch_id]
        assert share >= 0
        assert share + demand.in_flight <= max(window * demand.weight / weights + 1, demand.in_flight, FLOOR)


@given(demands=demands, window=st.integers(1, 20_000))
def test_a_batch_with_nothing_in_flight_always_gets_something(demands: list[Demand], window: int) -> None:
    given = shares(demands, window)
    assert all(given[demand.batch_id] >= FLOOR for demand in demands if not demand.in_flight)


def test_weights_divide_the_window() -> None:
    assert shares([Demand(1, 3, 0), Demand(2, 1, 0)], 1_000) == {1: 750, 2: 250}


def test_the_batch_with_the_least_in_flight_comes_first() -> None:
    assert list(shares([Demand(1, 1, 90), Demand(2, 1, 10), Demand(3, 1, 0)], 300)) == [3, 2, 1]


def test_the_window_follows_the_measured_rate_within_bounds() -> None:
    window = Window(smallest=100, largest=2_000)
    assert [window.size(rate) for rate in (0, 1_000, 100_000)] == [100, 500, 2_000]
