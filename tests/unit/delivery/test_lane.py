"""When a lane moves on: pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.delivery.rules.lane import Head

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def head(due_in: timedelta, failed_before: timedelta | None = None, *, is_busy: bool = False) -> Head:
    failed_at = None if failed_before is None else NOW - failed_before
    return Head(1, "o", "o", is_busy, NOW + due_in, failed_at)


def test_a_lane_waits_for_the_answer_to_its_first_delivery() -> None:
    assert head(-HOUR, is_busy=True).moves_at(MINUTE) is None
    assert not head(HOUR, HOUR, is_busy=True).is_passed_over(MINUTE, NOW)


def test_a_delivery_that_failed_holds_up_the_next_for_so_long_and_no_longer() -> None:
    failed = head(HOUR, MINUTE / 2)
    assert failed.moves_at(MINUTE) == NOW + MINUTE / 2
    assert not failed.is_passed_over(MINUTE, NOW)
    assert failed.is_passed_over(MINUTE, NOW + MINUTE / 2)


def test_without_a_bound_a_delivery_that_failed_holds_up_the_next_to_its_end() -> None:
    assert head(HOUR, 9 * HOUR).moves_at(None) == NOW + HOUR
    assert not head(HOUR, 9 * HOUR).is_passed_over(None, NOW)


def test_a_retry_that_is_due_is_made_and_not_passed_over() -> None:
    assert not head(timedelta(0), 9 * HOUR).is_passed_over(MINUTE, NOW)
    assert head(-MINUTE, HOUR).moves_at(HOUR * 2) == NOW - MINUTE


def test_what_never_failed_is_never_passed_over() -> None:
    assert not head(9 * HOUR).is_passed_over(MINUTE, NOW)
    assert head(9 * HOUR).moves_at(MINUTE) == NOW + 9 * HOUR
