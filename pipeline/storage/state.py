"""States written into statements: a partial index serves a query only where the state stands in its text."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, literal_column


def is_in(column: Column[Any], *states: str) -> ColumnElement[bool]:
    """Return `column = 'state'`, or the same for any of several states."""
    quoted: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in states]
    return column == quoted[0] if len(quoted) == 1 else column.in_(quoted)
