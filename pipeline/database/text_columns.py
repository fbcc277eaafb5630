"""Columns of a statement that is written as text, in its own order."""

from __future__ import annotations

from collections.abc import Container, Sequence

from sqlalchemy import TextClause, column
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.instant import Instant


def ordered(query: TextClause, names: Sequence[str], instants: Container[str]) -> TextualSelect:
    """Return a statement whose columns are these, of which some are instants.

    By their order SQLAlchemy finds them at once. By name it looks for them at every execution, which takes longer than
    the statement.
    """
    return query.columns(*(column(name, Instant) if name in instants else column(name) for name in names))
