"""The pace of a client, on a clock of the test."""

from __future__ import annotations

import pytest

from pipeline.http_api.server.client_pace import BodyPace, SendPace
from pipeline.http_api.server.limits import ServerLimits

LIMITS = ServerLimits(body_gap_seconds=30, body_minute_seconds=60, body_minute_bytes=1_000, send_seconds=20)


def test_a_body_that_stops_is_too_slow_after_the_gap() -> None:
    pace = BodyPace(LIMITS, 0)
    pace.add(10, 5)
    assert not pace.is_too_slow(34.9)
    assert pace.is_too_slow(35)


@pytest.mark.parametrize(("size", "is_too_slow"), [(100, False), (99, True)])
def test_a_body_that_trickles_is_too_slow_after_the_second_minute(size: int, is_too_slow: bool) -> None:
    pace = BodyPace(LIMITS, 0)
    found = []
    for second in range(0, 121, 6):
        found.append(pace.is_too_slow(second))
        pace.add(1 if second < 60 else size, second)
    assert found == [False] * 20 + [is_too_slow]


def test_a_burst_does_not_pay_for_later_minutes() -> None:
    pace = BodyPace(LIMITS, 0)
    pace.add(1_000_000, 1)
    verdicts = []
    for second in range(6, 181, 6):
        pace.add(1, second)
        verdicts.append(pace.is_too_slow(second))
    assert verdicts.index(True) == 19


def test_time_in_which_the_server_does_not_read_does_not_count() -> None:
    pace = BodyPace(LIMITS, 0)
    for second in range(0, 1_000, 10):
        pace.pause(second)
        assert not pace.is_too_slow(second)
    assert not pace.is_too_slow(1_019)
    assert pace.is_too_slow(1_020)


def test_a_client_is_stalled_once_it_takes_nothing_for_long() -> None:
    pace = SendPace(LIMITS)
    assert not pace.is_stalled(waiting=100, taken=5, now=0)
    assert not pace.is_stalled(waiting=100, taken=6, now=19)
    assert not pace.is_stalled(waiting=200, taken=6, now=38.9)
    assert pace.is_stalled(waiting=200, taken=6, now=39)


def test_a_client_for_whom_nothing_waits_is_not_stalled() -> None:
    pace = SendPace(LIMITS)
    assert not pace.is_stalled(waiting=100, taken=5, now=0)
    assert not pace.is_stalled(waiting=0, taken=5, now=30)
    assert not pace.is_stalled(waiting=100, taken=5, now=40)
