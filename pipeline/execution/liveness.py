"""Liveness of workers: a lease that a worker renews while it makes progress, and that health checks read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.lease_holder import certainly_dead, is_local
from pipeline.execution.sql import releases

_PREFIX = "worker:"


@dataclass(frozen=True, slots=True)
class Life:
    """A worker process of this host, and whether it renewed its liveness lease in time."""

    worker: str
    is_alive: bool


def show_life(context: Context) -> None:
    """Renew the liveness lease of this process."""
    now = context.now()
    name = _PREFIX + context.worker
    with context.database.write() as connection:
        leases.acquire(connection, name, context.worker, now=now, until=now + context.lease)


def are_left_waiting(context: Context, stages: Collection[str]) -> bool:
    """Return whether released items of these stages have been waiting for a worker for half a lease."""
    with context.database.read() as connection:
        return releases.has_unclaimed(connection, stages, context.now() + context.lease / 2)


def are_released(context: Context, stages: Collection[str]) -> bool:
    """Return whether released items of these stages are waiting for a worker."""
    with context.database.read() as connection:
        # No lease of a released item ends later than that.
        return releases.has_unclaimed(connection, stages, context.now() + 2 * context.lease)


def lives_here(context: Context) -> list[Life]:
    """Return the worker processes of this host, including those that died and are not yet forgotten."""
    now = context.now()
    with context.database.read() as connection:
        found = [row for row in leases.find_by_prefix(connection, _PREFIX) if is_local(row["holder"])]
    gone = set(certainly_dead(row["holder"] for row in found))
    return [Life(row["holder"], row["until"] > now) for row in found if row["holder"] not in gone]
