"""How many workers a queue wants."""

from __future__ import annotations

import pytest

from pipeline.monitoring.rules.scaling import wanted_workers


@pytest.mark.parametrize(
    ("in_flight", "due", "capacity", "seconds", "wanted"),
    [
        (0, 0, 256, None, 0),
        (0, 0, 256, 10.0, 0),
        # One is enough for all of it.
        (1, 0, 256, 0.1, 1),
        (0, 1, 256, 0.001, 1),
        (256, 0, 256, 0.1, 1),
        (257, 0, 256, 0.1, 2),
        (2_000, 0, 256, 0.1, 8),
        # 100,000 items of 2 s, 256 at once: 781 s of work, to be done within 300 s.
        (0, 100_000, 256, 2.0, 3),
        (0, 100_000, 1, 2.0, 667),
        # What was not measured takes a second.
        (0, 153_600, 256, None, 2),
        (0, 153_601, 256, None, 3),
        # Not the sum: what is due becomes what is in flight.
        (512, 100_000, 256, 2.0, 3),
        (2_000, 100_000, 256, 2.0, 8),
    ],
)
def test_wanted(in_flight: int, due: int, capacity: int, seconds: float | None, wanted: int) -> None:
    found = wanted_workers(in_flight, due, capacity=capacity, attempt_seconds=seconds)
    assert found.wanted == wanted


def test_the_reason_says_what_was_counted() -> None:
    reason = wanted_workers(700, 12_000, capacity=256, attempt_seconds=0.4).reason
    assert reason == "700 in flight, 12000 due, 256 at once in a process, 0.4 s an item; to be done within 300 s"
    assert "not measured yet" in wanted_workers(1, 0, capacity=1, attempt_seconds=None).reason
