"""Liveness of workers: leases that a worker renews while it makes progress, and that health checks read.

Each worker process has a lease with its own name and the queues it serves. Each queue has one as well, which all of its
workers extend: it says for how long nobody has served the queue, no matter how its last worker ended.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from pipeline.batches.find import find_batch
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.lease_holder import certainly_dead, is_local
from pipeline.execution.sql import releases, waiting_items

_WORKER, _QUEUE = "worker:", "queue:"
#: Holds the leases on queues. It is no process, so it never counts as dead.
_ANY_WORKER = "workers"
#: A queue's lease that was extended this recently is left alone: its workers are many, and its row is one.
_RECENTLY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Life:
    """A worker process, the queues it serves, and whether it renewed its liveness lease in time."""

    worker: str
    queues: tuple[str, ...]
    is_alive: bool


def show_life(context: Context, queues: Collection[str]) -> None:
    """Renew the liveness lease of this process, and the leases on the queues it serves."""
    now = context.now()
    until = now + context.lease
    names = sorted(queues)
    with context.database.write() as connection:
        leases.acquire(connection, f"{_WORKER}{','.join(names)}:{context.worker}", context.worker, now=now, until=until)
        extended = {row["name"]: row["until"] for row in leases.find_by_prefix(connection, _QUEUE)}
        # In one order, so that workers of several queues do not wait for each other in a circle.
        for name in (f"{_QUEUE}{queue}" for queue in names):
            if name not in extended or extended[name] < until - _RECENTLY:
                leases.acquire(connection, name, _ANY_WORKER, now=now, until=until)


def served_queues(context: Context) -> set[str]:
    """Return the queues that a worker of any host served within the last lease."""
    now = context.now()
    with context.database.read() as connection:
        found = leases.find_by_prefix(connection, _QUEUE)
    return {row["name"].removeprefix(_QUEUE) for row in found if row["until"] > now}


def count_waiting(context: Context, batch: str | None, *, limit: int) -> dict[str, int]:
    """Return how many items of a batch, or of all, wait for the workers of each queue; about `limit` at most."""
    with context.database.read() as connection:
        batch_row = None if batch is None else find_batch(connection, batch)["id"]
        due = waiting_items.count_due(connection, context.now(), batch_row, limit)
        unclaimed = waiting_items.count_unclaimed(connection, batch_row, limit)
    return {"control": due.total(), **(due + unclaimed)}


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
    return [life for life in lives(context) if is_local(life.worker)]


def lives(context: Context) -> list[Life]:
    """Return the worker processes of every host, including those that died and are not yet forgotten."""
    now = context.now()
    with context.database.read() as connection:
        found = leases.find_by_prefix(connection, _WORKER)
    gone = set(certainly_dead(row["holder"] for row in found))
    return [
        Life(row["holder"], _queues_of(row["name"]), row["until"] > now) for row in found if row["holder"] not in gone
    ]


def _queues_of(lease: str) -> tuple[str, ...]:
    # A worker of an earlier version says nothing of its queues.
    queues, _, _ = lease.removeprefix(_WORKER).rpartition(":")
    return tuple(filter(None, queues.split(",")))
