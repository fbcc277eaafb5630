"""Instants as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def instant(value: str | datetime) -> datetime:
    """Return `2026-11-21T08:00`, local unless it names a zone, or `6h`, so long ago.

    Raises:
        click.BadParameter: it is neither.
    """
    if isinstance(value, datetime):
        return value
    ago = _seconds(value)
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(seconds=ago)
        # A time without a zone is taken as this machine's.
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time; give one, such as 2026-11-21T08:00Z, or how long ago: 90m, 6h, 3d, 1w"
        ) from None


def seconds(value: str | float) -> float:
    """Return `90`, or `90m`, `6h`, `3d`, `1w`, in seconds.

    Raises:
        click.BadParameter: it is neither.
    """
    if not isinstance(value, str):
        return value
    long = _seconds(value)
    try:
        return float(value) if long is None else float(long)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no time; give seconds, or such as 90m, 6h, 3d, 1w") from None


def _seconds(value: str) -> int | None:
    number, unit = value[:-1], value[-1:]
    return int(number) * _SECONDS[unit] if unit in _SECONDS and number.isascii() and number.isdigit() else None
