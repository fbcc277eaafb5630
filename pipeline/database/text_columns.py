"""Result columns of a statement that is written as text."""

from __future__ import annotations

from collections.abc import Container, Sequence

from sqlalchemy import TextClause, column
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.instant import Instant


def with_columns(query: TextClause, names: Sequence[str], instants: Container[str]) -> TextualSelect:
    """Return a statement with these result columns, in the order of its SELECT list.

    SQLAlchemy matches positional columns at once. It would look up columns by name at every execution, which takes
    longer than the statement itself.

    Args:
        instants: names of the columns that are instants.
    """
    return query.columns(*(column(name, Instant) if name in instants else column(name) for name in names))
