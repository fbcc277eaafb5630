"""Instants as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def instant(value: str | datetime) -> datetime:
    """Return `2026-11-21T08:00`, local unless it names a zone, or `6h`, so long ago.

    Raises:
        click.BadParameter: it is neither.
    """
    if isinstance(value, datetime):
        return value
    number, unit = value[:-1], value[-1:]
    try:
        if unit in _SECONDS and number.isascii() and number.isdigit():
            return datetime.now(UTC) - timedelta(seconds=int(number) * _SECONDS[unit])
        # A time without a zone is taken as this machine's.
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time; give one, such as 2026-11-21T08:00Z, or how long ago: 90m, 6h, 3d"
        ) from None
