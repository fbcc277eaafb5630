"""Times and durations as users type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from pipeline.cli.time_arguments import parse_duration, parse_time


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("2026-11-21T08:00Z", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        ("2026-11-21T08:00:30.5+02:00", datetime(2026, 11, 21, 6, 0, 30, 500_000, tzinfo=UTC)),
        ("2026-11-21", datetime(2026, 11, 21).astimezone(UTC)),
        ("2026-11-21 08:00", datetime(2026, 11, 21, 8).astimezone(UTC)),
    ],
)
def test_a_time_is_local_unless_it_has_a_time_zone(typed: str, expected: datetime) -> None:
    assert parse_time(typed) == expected
    assert parse_time(parse_time(typed)) == expected


@pytest.mark.parametrize(
    ("typed", "age"),
    [
        ("45s", timedelta(seconds=45)),
        ("90m", timedelta(minutes=90)),
        ("6h", timedelta(hours=6)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_an_age_is_counted_back_from_now(typed: str, age: timedelta) -> None:
    before = datetime.now(UTC)
    assert before <= parse_time(typed) + age <= datetime.now(UTC)


@pytest.mark.parametrize("typed", ["", "h", "-1h", "1.5h", "yesterday", "6 h", "2026-13-01", "9999999999999d"])
def test_anything_else_is_rejected_with_examples(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="2026-11-21T08:00Z, or an age such as 90m, 6h, 3d"):
        parse_time(typed)


@pytest.mark.parametrize(
    ("typed", "expected"), [("90", 90), ("1.5", 1.5), ("90m", 5_400), ("1d", 86_400), ("1w", 604_800)]
)
def test_a_duration_is_in_seconds_or_has_a_unit(typed: str, expected: float) -> None:
    assert parse_duration(typed) == expected


@pytest.mark.parametrize("typed", ["", "d", "1y", "-1d", "soon"])
def test_an_invalid_duration_is_rejected(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a duration; expected seconds"):
        parse_duration(typed)
