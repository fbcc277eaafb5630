"""Leases that keep a batch from completing while a replay still moves items of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, select

from pipeline.database.tables import leases

#: Prefix of the names of these leases.
PREFIX = "replay:"


def name_of(batch_id: int, holder: str) -> str:
    """Return the name of one replay's lease: several replays of a batch may run at once."""
    return f"{_prefix_of(batch_id)}{holder}"


def is_held(batch_id: int, now: datetime) -> ColumnElement[bool]:
    """Return SQL for whether a replay still moves items of a batch."""
    of_batch = leases.c.name.startswith(_prefix_of(batch_id), autoescape=True)
    return exists(select(leases.c.name).where(of_batch, leases.c.until > now))


def find_abandoned(connection: Connection, now: datetime, dead: Sequence[str]) -> list[tuple[str, int]]:
    """Return the leases of replays that will not end, each with its batch: expired ones, and those of dead holders."""
    is_over = (leases.c.until <= now) | leases.c.holder.in_(dead)
    query = select(leases.c.name).where(leases.c.name.startswith(PREFIX, autoescape=True), is_over)
    return [(name, int(name.split(":")[1])) for name in connection.scalars(query)]


def _prefix_of(batch_id: int) -> str:
    return f"{PREFIX}{batch_id}:"
