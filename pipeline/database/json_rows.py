"""Many rows in one parameter: JSON in, a table out, so that one statement changes a whole group and says which rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, FromClause, Table, bindparam, cast, column, func, select, type_coerce
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.types import Integer, String, Text, TypeEngine

from pipeline.database.instant import WIDTH, Instant, to_text
from pipeline.database.tables import items

PARAMETER = "rows"


@cache
def item_rows(is_sqlite: bool, *names: str) -> FromClause:
    """Return the parameter `rows` as a table with these columns of `items`."""
    return rows_of(items, is_sqlite, *names)


def rows_of(table: Table, is_sqlite: bool, *names: str, numbers: Sequence[str] = ()) -> FromClause:
    """Return the parameter `rows` as a table `r` with these columns of `table`, and with `numbers` as integers."""
    types: dict[str, TypeEngine[Any]] = {name: table.c[name].type for name in names}
    types |= dict.fromkeys(numbers, Integer())
    return _sqlite(types) if is_sqlite else _postgresql(types)


def encode(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the value of the parameter `rows`; instants become text."""
    return orjson.dumps(list(rows), default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def in_order(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return rows in the order of their ids, in which everybody locks."""
    return sorted(rows, key=lambda row: row["id"])


def is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _sqlite(types: Mapping[str, TypeEngine[Any]]) -> FromClause:
    each = func.json_each(bindparam(PARAMETER, type_=String)).table_valued("value", name="each_row")
    found = {name: func.json_extract(each.c.value, f"$.{name}") for name in types}
    # As all others are stored: their texts sort only where they are of one width.
    instants = {name: func.substr(found[name], 1, WIDTH) for name, kind in types.items() if isinstance(kind, Instant)}
    columns = found | instants
    return select(*(type_coerce(columns[name], kind).label(name) for name, kind in types.items())).subquery("r")


def _postgresql(types: Mapping[str, TypeEngine[Any]]) -> FromClause:
    rows = cast(bindparam(PARAMETER, type_=Text), JSON)
    columns = [column(name, kind) for name, kind in types.items()]
    return func.json_to_recordset(rows).table_valued(*columns, name="r").render_derived(name="r", with_types=True)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        # With its offset, since PostgreSQL reads it by the time zone of the session, which a URL or a pooler may set.
        return f"{to_text(value)}+00:00"
    raise TypeError(type(value).__name__)
