"""Rows of a result as plain dicts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Result

Row = dict[str, Any]


def rows(result: Result[Any]) -> list[Row]:
    """Return all rows."""
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def first(result: Result[Any]) -> Row | None:
    """Return the first row, or None if there is none."""
    row = result.mappings().first()
    return None if row is None else dict(row)
