"""Instants as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from pipeline.cli.time_arguments import instant, seconds


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-11-21T08:00Z", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        ("2026-11-21T08:00:30.5+02:00", datetime(2026, 11, 21, 6, 0, 30, 500_000, tzinfo=UTC)),
        ("2026-11-21", datetime(2026, 11, 21).astimezone(UTC)),
        ("2026-11-21 08:00", datetime(2026, 11, 21, 8).astimezone(UTC)),
    ],
)
def test_a_time_is_local_unless_it_names_a_zone(typed: str, meant: datetime) -> None:
    assert instant(typed) == meant
    assert instant(instant(typed)) == meant


@pytest.mark.parametrize(
    ("typed", "ago"),
    [
        ("45s", timedelta(seconds=45)),
        ("90m", timedelta(minutes=90)),
        ("6h", timedelta(hours=6)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_a_duration_is_so_long_ago(typed: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    found = instant(typed)
    assert before <= found + ago <= datetime.now(UTC)


@pytest.mark.parametrize("typed", ["", "h", "-1h", "1.5h", "yesterday", "6 h", "2026-13-01", "9999999999999d"])
def test_what_is_neither_says_what_is(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="2026-11-21T08:00Z, or how long ago: 90m, 6h, 3d"):
        instant(typed)


@pytest.mark.parametrize(
    ("typed", "meant"), [("90", 90), ("1.5", 1.5), ("90m", 5_400), ("1d", 86_400), ("1w", 604_800)]
)
def test_a_time_in_seconds_may_have_a_unit(typed: str, meant: float) -> None:
    assert seconds(typed) == meant


@pytest.mark.parametrize("typed", ["", "d", "1y", "-1d", "soon"])
def test_what_is_no_time_is_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time; give seconds"):
        seconds(typed)
