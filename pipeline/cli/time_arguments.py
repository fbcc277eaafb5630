"""Times and durations as users type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MAX_LIFETIME_SECONDS = 36_500 * 86_400


def parse_time(value: str | datetime) -> datetime:
    """Parse a time such as `2026-11-21T08:00`, or an age such as `6h`, and return it in UTC.

    A time without a time zone is local time. An age is counted back from now.

    Raises:
        click.BadParameter: the value is neither.
    """
    if isinstance(value, datetime):
        return value
    age = _seconds(value)
    try:
        if age is not None:
            return datetime.now(UTC) - timedelta(seconds=age)
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is not a time; expected a time such as 2026-11-21T08:00Z, or an age such as 90m, 6h, 3d, 1w"
        ) from None


def parse_duration(value: str | float) -> float:
    """Parse a duration such as `90`, in seconds, or `90m`, `6h`, `3d`, `1w`, and return it in seconds.

    Raises:
        click.BadParameter: the value is neither.
    """
    if not isinstance(value, str):
        return value
    seconds = _seconds(value)
    try:
        return float(value) if seconds is None else float(seconds)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is not a duration; expected seconds, or a duration such as 90m, 6h, 3d, 1w"
        ) from None


def parse_lifetime(value: str | float) -> float:
    """Parse a duration as `parse_duration` does, of at most 100 years.

    Raises:
        click.BadParameter: the value is no duration, or out of range.
    """
    seconds = parse_duration(value)
    if not 0 <= seconds <= _MAX_LIFETIME_SECONDS:
        raise click.BadParameter(f"{value} is out of range; expected 0 to {_MAX_LIFETIME_SECONDS} seconds (100 years)")
    return seconds


def _seconds(value: str) -> int | None:
    number, unit = value[:-1], value[-1:]
    return (
        int(number) * _UNIT_SECONDS[unit] if unit in _UNIT_SECONDS and number.isascii() and number.isdigit() else None
    )
