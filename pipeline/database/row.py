"""Rows as plain dicts, and `INSERT … ON CONFLICT` for both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Result, Table
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.database.json_rows import is_sqlite

Row = dict[str, Any]
Upsert = sqlite.Insert | postgresql.Insert


def rows(result: Result[Any]) -> list[Row]:
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def first(result: Result[Any]) -> Row | None:
    row = result.mappings().first()
    return None if row is None else dict(row)


def upsert(connection: Connection, table: Table) -> Upsert:
    return upsert_for(is_sqlite(connection), table)


def upsert_for(on_sqlite: bool, table: Table) -> Upsert:
    """Return what `upsert` does, for statements that are made once for each database."""
    return sqlite.insert(table) if on_sqlite else postgresql.insert(table)
