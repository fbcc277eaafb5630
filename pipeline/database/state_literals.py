"""States written into statements: a partial index serves a query only where the state stands in its text."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, func, literal_column


def is_in(column: Column[Any], *states: str) -> ColumnElement[bool]:
    """Return `column = 'state'`, or the same for any of several states."""
    quoted: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in states]
    return column == quoted[0] if len(quoted) == 1 else column.in_(quoted)


def is_still(column: Column[Any], state: str) -> ColumnElement[bool]:
    """Return `column = 'state'` for rows that are named by their ids, so that no partial index serves it.

    Statistics that are old make such an index look small, and PostgreSQL would go through all of it for each row.
    """
    return func.coalesce(column, "") == literal_column(f"'{state}'")


def still(state: str) -> str:
    """Return the same for a statement that is written as text."""
    return f"coalesce(state, '') = '{state}'"
