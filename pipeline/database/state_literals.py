"""States written into statements: a partial index serves only queries whose text contains its condition."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, func, literal_column


def has_state(column: Column[Any], *states: str) -> ColumnElement[bool]:
    """Return `column = 'state'`, or `column IN (…)` for several states."""
    quoted: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in states]
    return column == quoted[0] if len(quoted) == 1 else column.in_(quoted)


def recheck_state(column: Column[Any], state: str) -> ColumnElement[bool]:
    """Return `column = 'state'` in a form that no index serves, for rows that are found by their ids.

    With stale statistics a partial index looks small, and PostgreSQL would read all of it for each row.
    """
    return func.coalesce(column, "") == literal_column(f"'{state}'")


def recheck_state_sql(state: str) -> str:
    """Return the same condition on the column `state`, for a statement written as text."""
    return f"coalesce(state, '') = '{state}'"
