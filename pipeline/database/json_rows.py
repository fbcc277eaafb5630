"""Many rows in one parameter: JSON in, a table out, so that one statement changes a group and returns which rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import FromClause, Table
from sqlalchemy.types import Integer, Text, TypeEngine

from pipeline.database.dialect import Dialect
from pipeline.database.tables import items


@cache
def item_rows(dialect: Dialect, *names: str, integers: tuple[str, ...] = (), texts: tuple[str, ...] = ()) -> FromClause:
    """Return the parameter `rows` as a table with these columns of `items`, and with further ones."""
    return table_rows(items, dialect, *names, integers=integers, texts=texts)


def table_rows(
    table: Table, dialect: Dialect, *names: str, integers: Sequence[str] = (), texts: Sequence[str] = ()
) -> FromClause:
    """Return the parameter `rows` as a table `r`.

    Args:
        names: columns of `table`, whose types they have.
        integers, texts: names of further columns.
    """
    types: dict[str, TypeEngine[Any]] = {name: table.c[name].type for name in names}
    return dialect.json_table(types | dict.fromkeys(integers, Integer()) | dict.fromkeys(texts, Text()))


def sort_by_id(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return rows in the order of their ids, in which every transaction locks."""
    return sorted(rows, key=lambda row: row["id"])
