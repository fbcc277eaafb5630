"""The guards of a batch, for whoever names the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.batches.find import find_batch
from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.guards import guards
from pipeline.guards.guards import GuardStatus


def list_guards(context: Context, batch: str) -> list[GuardStatus]:
    """Return the guards of a batch, by name.

    Raises:
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        return guards.find_guards(connection, find_batch(connection, batch)["id"])


def set_guard(context: Context, batch: str, name: str, changes: Mapping[str, Any]) -> GuardStatus:
    """Change fields of a guard of a batch, or add the guard. Return it.

    It takes effect with the next outcomes that are recorded; a new guard after two seconds at most.

    Args:
        changes: by name; None sets a field to its default.

    Raises:
        NotFound: there is no such batch.
        InvalidInput: a field is unknown or invalid.
    """
    with context.database.write() as connection:
        batch_id = find_batch(connection, batch)["id"]
        batches.lock(connection, batch_id)
        return guards.set_guard(connection, batch_id, name, changes, by=context.actor, now=context.now())


def remove_guard(context: Context, batch: str, name: str) -> None:
    """Remove a guard of a batch.

    Raises:
        NotFound: there is no such batch, or it has no such guard.
    """
    with context.database.write() as connection:
        batch_id = find_batch(connection, batch)["id"]
        batches.lock(connection, batch_id)
        guards.remove_guard(connection, batch_id, name, context.now())


def reset_guard(context: Context, batch: str, name: str) -> None:
    """Let a guard of a batch count from nothing; a batch that it has paused stays paused.

    Raises:
        NotFound: there is no such batch, or it has no such guard.
    """
    with context.database.write() as connection:
        batch_id = find_batch(connection, batch)["id"]
        batches.lock(connection, batch_id)
        guards.reset_guard(connection, batch_id, name, context.now())
