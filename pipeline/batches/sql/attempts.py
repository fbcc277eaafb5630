"""Failed attempts at stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from pipeline.database.row import Row, rows
from pipeline.database.tables import attempts

_STAGE_ATTEMPT = (
    "item_id", "stage", "number", "outcome", "error_type", "error_message", "started_at", "ended_at", "worker",
    "answer",
)  # fmt: skip
_ADD = insert(attempts).values(**{name: bindparam(name) for name in _STAGE_ATTEMPT})


def add(connection: Connection, failed: Sequence[Mapping[str, Any]]) -> None:
    """Add failed stage attempts."""
    if failed:
        connection.execute(_ADD, failed)


def find_last_answers(connection: Connection, item_ids: Sequence[int]) -> dict[int, str | None]:
    """Return what another service answered to the last failed stage attempt of each of these items, if anything."""
    query = select(attempts.c.item_id, attempts.c.answer).where(attempts.c.item_id.in_(item_ids))
    return {item: answer for item, answer in connection.execute(query.order_by(attempts.c.id))}


def find_by_item(connection: Connection, item_id: int) -> list[Row]:
    """Return the failed stage attempts of an item, oldest first."""
    return rows(connection.execute(select(attempts).where(attempts.c.item_id == item_id).order_by(attempts.c.id)))
