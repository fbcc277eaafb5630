"""What every service works with; chosen once, in `bootstrap`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

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
    """Database, clock, hooks and this process's name."""

    settings: Settings
    database: Database
    hooks: Hooks
    now: Callable[[], datetime] = utc_now
    worker: str = field(default_factory=new_holder)
    #: Steps that `prepare` has built, by definition version and stage.
    prepared: dict[tuple[str, Stage], tuple[Step, ...]] = field(default_factory=dict, compare=False, repr=False)
    #: Sets the clock right where it is not this machine's own.
    synchronise: Callable[[], None] = lambda: None

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.settings.lease_seconds)
