"""The parts of exports: planned in one transaction, marked as stored in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from pipeline.database.row import Row, rows
from pipeline.database.tables import export_parts


def add_planned(connection: Connection, export_id: int, planned: Sequence[Mapping[str, Any]]) -> None:
    """Insert parts that are to be written.

    Args:
        planned: one mapping each: `first_seq`, `last_seq`, `partition` and `name`.
    """
    if not planned:
        return
    last = connection.scalar(select(func.max(export_parts.c.number)).where(export_parts.c.export_id == export_id))
    rows_ = [
        {"export_id": export_id, "number": number, "state": "planned", **each}
        for number, each in enumerate(planned, (last or 0) + 1)
    ]
    connection.execute(insert(export_parts), rows_)


def find_planned(connection: Connection, export_id: int, limit: int) -> list[Row]:
    """Return planned parts of the earliest range that has some, in order, up to `limit`."""
    query = select(export_parts).where(export_parts.c.export_id == export_id, export_parts.c.state == "planned")
    found = rows(connection.execute(query.order_by(export_parts.c.number).limit(limit)))
    return [row for row in found if row["first_seq"] == found[0]["first_seq"]]


def find_with_planned(connection: Connection, export_ids: Sequence[int]) -> set[int]:
    """Return which of these exports have parts that are planned and not stored."""
    if not export_ids:
        return set()
    query = select(export_parts.c.export_id).where(
        export_parts.c.export_id.in_(export_ids), export_parts.c.state == "planned"
    )
    return set(connection.scalars(query.distinct()))


def mark_stored(connection: Connection, export_id: int, number: int, *, rows_: int, bytes_: int, sha256: str) -> bool:
    """Mark a planned part as stored. Return False if it is marked already."""
    is_planned = (
        export_parts.c.export_id == export_id,
        export_parts.c.number == number,
        export_parts.c.state == "planned",
    )
    values = {"state": "stored", "rows": rows_, "bytes": bytes_, "sha256": sha256}
    return connection.execute(update(export_parts).where(*is_planned).values(**values)).rowcount == 1


def find_all(connection: Connection, export_id: int) -> list[Row]:
    """Return the parts of an export, in order."""
    query = select(export_parts).where(export_parts.c.export_id == export_id).order_by(export_parts.c.number)
    return rows(connection.execute(query))
