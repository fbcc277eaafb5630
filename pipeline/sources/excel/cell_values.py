"""Converts the cells of a workbook to JSON."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

#: From here on, a double does not tell neighbouring integers apart.
_MAX_EXACT = 2**53
_MIDNIGHT = time()


def cell_value(cell: Any) -> Any:
    """Return the value of a cell of openpyxl as JSON: an empty cell is null, dates and times are ISO 8601.

    A date without a time is a date, unless the cell is formatted to show the time. A duration is seconds.
    """
    value = cell.value
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _MAX_EXACT else value
    if isinstance(value, datetime):
        return _without_time(value) if value.time() == _MIDNIGHT and not _shows_time(cell) else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def _without_time(value: datetime) -> str:
    return value.date().isoformat()


def _shows_time(cell: Any) -> bool:
    from openpyxl.styles.numbers import is_datetime

    return is_datetime(cell.number_format) in ("datetime", "time")
