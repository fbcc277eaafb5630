"""A batch over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.batches.rules.history import latency_histogram, timeline

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_nothing_finished_has_no_history() -> None:
    assert timeline([], 10) == []
    assert latency_histogram([]) == []


def test_each_part_counts_what_finished_in_it() -> None:
    moments = timeline([(at(0), True), (at(4.9), False), (at(5), True), (at(10), True)], 2)
    assert [(moment.starts_at, moment.succeeded, moment.failed) for moment in moments] == [
        (at(0), 1, 1),
        (at(5), 2, 0),
    ]
    assert moments[0].per_second == 2 / 5


def test_a_batch_that_finished_at_once_has_a_finite_rate() -> None:
    assert sum(moment.succeeded for moment in timeline([(at(0), True)] * 7, 60)) == 7


@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), min_size=1), st.integers(1, 80))
def test_no_item_is_lost_or_counted_twice(finished: list[tuple[float, bool]], most: int) -> None:
    moments = timeline([(at(seconds), succeeded) for seconds, succeeded in finished], most)
    assert len(moments) <= most
    assert sum(moment.succeeded + moment.failed for moment in moments) == len(finished)


def test_a_histogram_leaves_out_the_classes_at_its_ends() -> None:
    assert latency_histogram([0.01, 0.011, 0.2, 5000]) == [
        (0.01, 1), (0.02, 1), (0.05, 0), (0.1, 0), (0.2, 1), (0.5, 0), (1, 0), (2, 0), (5, 0), (10, 0), (30, 0),
        (60, 0), (300, 0), (3600, 0), (None, 1),
    ]  # fmt: skip
