"""What use cases work with: settings, database, hooks, clock. Built once, in `bootstrap`."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from pipeline.connections.connection import NamedConnections
from pipeline.connections.destinations import Destinations
from pipeline.database.engine import Database
from pipeline.database.lease_holder import new_holder
from pipeline.domain.item import Stage
from pipeline.hooks import Hooks
from pipeline.settings import Settings
from pipeline.stages.catalog.step import Step
from pipeline.telemetry.meter import NULL, Meter


def utc_now() -> datetime:
    return datetime.now(UTC)


@cache
def local_actor() -> str:
    """Return who runs this program: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that no account has.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True)
class Context:
    """Settings, database, hooks, clock and the name of this process.

    Args:
        now: the clock; on PostgreSQL, that of the database server.
        worker: name under which this process holds leases.
        builds_stages: whether a submission loads its models and modules in this process, if that also works on them.
        works_beside: whether a process that this one starts, with the same packages, works on what is submitted here.
        prepared: built stages by definition version and stage, filled when a batch is submitted.
        connections: what `conn://NAME` names.
        actor: who intervenes through this context, as the history of a batch names them.
        synchronise: adjusts the clock if it is not this machine's.
        meter: counts what this process does, where somebody wants to know.
    """

    settings: Settings
    database: Database
    hooks: Hooks
    now: Callable[[], datetime] = utc_now
    worker: str = field(default_factory=new_holder)
    builds_stages: bool = True
    works_beside: bool = False
    prepared: dict[tuple[str, Stage], tuple[Step, ...]] = field(default_factory=dict, compare=False, repr=False)
    connections: NamedConnections = field(default_factory=NamedConnections)
    actor: str = field(default_factory=local_actor)
    synchronise: Callable[[], None] = lambda: None
    meter: Meter = field(default=NULL, compare=False, repr=False)

    def acting_as(self, actor: str) -> Context:
        """Return this context for somebody else."""
        return replace(self, actor=actor)

    @property
    def destinations(self) -> Destinations:
        """Where results may go."""
        return Destinations(self.settings.allow_private_callbacks, self.settings.allow_targets, self.connections)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.settings.lease_seconds)
