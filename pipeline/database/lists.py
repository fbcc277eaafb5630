"""A list as one parameter, so that a statement is the same however long the list is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Column, ColumnElement, Connection, String, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from pipeline.database.json_rows import is_sqlite


def among(connection: Connection, column: Column[Any], name: str) -> ColumnElement[bool]:
    """Return that a column is among the parameter `name`, whose value is of `listed`."""
    if is_sqlite(connection):
        return column.in_(select(func.json_each(bindparam(name, type_=String)).table_valued("value").c.value))
    return column == func.any(cast(bindparam(name), ARRAY(type(column.type))))


def listed(connection: Connection, values: Sequence[int] | Sequence[str]) -> object:
    """Return a list as the value of such a parameter."""
    return orjson.dumps(list(values)).decode() if is_sqlite(connection) else list(values)
