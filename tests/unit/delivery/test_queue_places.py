"""Places in memory for preclaimed requests, and which endpoints have any."""

from __future__ import annotations

import threading

import pytest

from pipeline.delivery.preclaim import MOST_BYTES
from pipeline.delivery.sender.queue_places import LONG, PER_ENDPOINT, TOTAL, TOTAL_BYTES, QueuePlaces
from pipeline.delivery.sender.response_times import FAILURES, QUICK_SECONDS, WINDOW, ResponseTimes

QUICK, SLOW = QUICK_SECONDS / 2, QUICK_SECONDS * 2
#: Longer than a test may take.
NEVER = 3_600.0


def times_of(*origins: str) -> ResponseTimes:
    """Return the times of endpoints that are quick."""
    times = ResponseTimes()
    for origin in origins * WINDOW:
        times.succeed(origin, QUICK)
    return times


@pytest.mark.parametrize(
    ("seconds", "failures", "expected"),
    [
        ([QUICK] * WINDOW, 0, True),
        ([QUICK] * (WINDOW - 1), 0, False),
        ([SLOW] * (WINDOW - 1) + [QUICK], 0, True),
        ([QUICK] * WINDOW + [SLOW] * WINDOW, 0, False),
        ([QUICK] * WINDOW, 1, False),
    ],
    ids=["quick", "too few answers", "one quick answer in a window", "slow since", "failed since"],
)
def test_an_endpoint_is_quick_by_its_last_answers(seconds: list[float], failures: int, expected: bool) -> None:
    times = ResponseTimes()
    for each in seconds:
        times.succeed("a", each)
    for _ in range(failures):
        times.fail("a")
    assert times.is_quick("a") is expected


def test_an_endpoint_whose_queue_was_not_sent_in_time_is_not_quick_for_a_while() -> None:
    times = times_of("a", "b")
    times.distrust("a")
    times.fail("a")
    for _ in range(WINDOW):
        times.succeed("a", QUICK)
    assert [times.is_quick("a"), times.is_quick("b")] == [False, True]


def test_failures_count_in_a_row() -> None:
    times = ResponseTimes()
    found = [times.fail("a") for _ in range(FAILURES - 1)]
    times.succeed("a", QUICK)
    found += [times.fail("a") for _ in range(FAILURES)]
    assert found == [False] * (2 * FAILURES - 2) + [True]


def test_there_are_places_beyond_free_slots_only_at_quick_endpoints_without_a_cap() -> None:
    places = QueuePlaces(times_of("quick", "capped"))
    waiting = [("quick", None), ("capped", 9), ("slow", None)]
    slots = {"quick": 4, "capped": 3, "slow": 2}
    wanted = {origin: [1] * 2_000 for origin, _ in waiting}
    granted = places.reserve(waiting, slots, wanted)
    assert granted == {"quick": PER_ENDPOINT + 4, "capped": 3, "slow": 2}
    assert places.reserve(waiting, slots, wanted) == dict.fromkeys(slots, 0)
    places.leave(granted, sum(granted.values()))
    assert places.reserve(waiting, slots, wanted) == granted


def test_places_are_bounded_in_number_and_bytes_over_all_endpoints() -> None:
    origins = [str(number) for number in range(4)]
    waiting = [(origin, None) for origin in origins]
    granted = QueuePlaces(times_of(*origins)).reserve(waiting, {}, {origin: [1] * 2_000 for origin in origins})
    assert sum(granted.values()) == TOTAL
    places = QueuePlaces(times_of(*origins))
    granted = places.reserve(waiting, {}, {origin: [MOST_BYTES] * 2_000 for origin in origins})
    assert sum(granted.values()) == TOTAL_BYTES // MOST_BYTES
    places.leave(granted, TOTAL_BYTES)
    assert places.reserve(waiting[:1], {}, {origins[0]: [MOST_BYTES]}) == {origins[0]: 1}


def test_recording_waits_until_the_queue_of_a_quick_endpoint_is_shorter() -> None:
    places = QueuePlaces(times_of("quick"), longest_wait=NEVER)
    places.reserve([("quick", None)], {}, {"quick": [1] * (LONG + 2)})
    waits = threading.Thread(target=places.wait, args=(["quick"],), daemon=True)
    waits.start()
    places.leave({"quick": 1}, 1)
    waits.join(0.05)
    assert waits.is_alive()
    places.leave({"quick": 1}, 1)
    waits.join()


def test_recording_never_waits_for_an_endpoint_that_is_slow_or_has_failed() -> None:
    times = times_of("failing", "slower")
    places = QueuePlaces(times, longest_wait=NEVER)
    for origin in ("failing", "slower"):
        places.reserve([(origin, None)], {}, {origin: [1] * (LONG + 1)})
    places.reserve([("slow", None)], {"slow": LONG + 1}, {"slow": [1] * (LONG + 1)})
    times.fail("failing")
    for _ in range(WINDOW):
        times.succeed("slower", SLOW)
    places.wait(["failing", "slower", "slow"])


def test_recording_that_has_waited_in_vain_does_not_wait_again_soon() -> None:
    places = QueuePlaces(times_of("quick"), longest_wait=0.001)
    places.reserve([("quick", None)], {}, {"quick": [1] * (LONG + 1)})
    places.wait(["quick"])
    places.longest_wait = NEVER
    places.wait(["quick"])
