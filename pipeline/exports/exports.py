"""Exports as people see them: list, find, retry."""

from __future__ import annotations

from typing import Any

from pipeline.batches.find import find_batch
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.bounds import shown
from pipeline.errors import Conflict, NotFound
from pipeline.exports.rules.export_state import ExportState
from pipeline.exports.sql import exports, parts

_SHOWN = ("target", "state", "parts", "rows", "completions", "attempts", "last_error")


def view(row: Row) -> dict[str, Any]:
    """Return an export as people and programs see it."""
    is_waiting = row["state"] == ExportState.RUNNING and row["attempts"]
    return {
        "export_id": row["id"],
        "batch_id": row["public_id"],
        **{name: row[name] for name in _SHOWN},
        "due_at": row["due_at"] if is_waiting else None,
        "created_at": row["created_at"],
        "finished_at": row["finished_at"],
    }


def newest(context: Context, *, limit: int, state: str | None = None) -> list[Row]:
    """Return exports of all batches, newest first.

    Args:
        state: only those in this state.
    """
    with context.database.read() as connection:
        return exports.find_newest(connection, limit, state=state)


def of_batch(context: Context, batch: str) -> list[Row]:
    """Return the exports of a batch, in the order in which they were given.

    Raises:
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        return exports.find_of_batch(connection, find_batch(connection, batch)["id"])


def named(context: Context, name: str) -> list[Row]:
    """Return the export with this number, or else the exports of a batch.

    Raises:
        NotFound: there is neither; or the batch has no exports.
    """
    if name.isascii() and name.isdigit() and len(name) < 19:
        with context.database.read() as connection:
            row = exports.find_by_id(connection, int(name))
        if row is not None:
            return [row]
    try:
        found = of_batch(context, name)
    except NotFound:
        raise NotFound(
            f"{shown(name)} is neither an export nor a batch; `pipeline exports list` lists exports"
        ) from None
    if not found:
        raise NotFound(f"batch {shown(name)} has no exports; submit it with --export")
    return found


def parts_of(context: Context, export_id: int) -> list[Row]:
    """Return the parts of an export, in order."""
    with context.database.read() as connection:
        return parts.find_all(connection, export_id)


def retry(context: Context, name: str) -> list[Row]:
    """Make exports that failed, or wait for their next attempt, due now. Return those.

    Args:
        name: as for `named`; exports of a batch that are complete are left alone.

    Raises:
        NotFound: see `named`.
        Conflict: all of them are complete.
    """
    found = named(context, name)
    with context.database.write() as connection:
        retried = [row for row in found if exports.retry(connection, row["id"], context.now())]
    if not retried:
        advice = f"`pipeline exports verify {name}` checks what it has written, and --repair mends it"
        raise Conflict(f"{shown(name)} is complete; {advice}")
    return retried
