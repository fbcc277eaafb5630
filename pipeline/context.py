"""What use cases work with: settings, database, hooks, clock. Built once, in `bootstrap`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.connections.connection import NamedConnections
from pipeline.connections.destinations import Destinations
from pipeline.database.engine import Database
from pipeline.database.lease_holder import new_holder
from pipeline.domain.item import Stage
from pipeline.hooks import Hooks
from pipeline.settings import Settings
from pipeline.stages.catalog.step import Step


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """Settings, database, hooks, clock and the name of this process.

    Args:
        now: the clock; on PostgreSQL, that of the database server.
        worker: name under which this process holds leases.
        builds_stages: whether a submission loads its models and modules in this process, if that also works on them.
        prepared: built stages by definition version and stage, filled when a batch is submitted.
        connections: what `conn://NAME` names.
        synchronise: adjusts the clock if it is not this machine's.
    """

    settings: Settings
    database: Database
    hooks: Hooks
    now: Callable[[], datetime] = utc_now
    worker: str = field(default_factory=new_holder)
    builds_stages: bool = True
    prepared: dict[tuple[str, Stage], tuple[Step, ...]] = field(default_factory=dict, compare=False, repr=False)
    connections: NamedConnections = field(default_factory=NamedConnections)
    synchronise: Callable[[], None] = lambda: None

    @property
    def destinations(self) -> Destinations:
        """Where results may go."""
        return Destinations(self.settings.allow_private_callbacks, self.settings.allow_targets, self.connections)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.settings.lease_seconds)
