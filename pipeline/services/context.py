"""What every service works with; chosen once, in `bootstrap`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.services.holder import new_holder
from pipeline.services.hooks import Hooks
from pipeline.settings import Settings
from pipeline.storage.engine import Database


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """Database, clock, hooks and this process's name."""

    settings: Settings
    database: Database
    hooks: Hooks = field(default_factory=Hooks)
    now: Callable[[], datetime] = utc_now
    worker: str = field(default_factory=new_holder)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.settings.lease_seconds)
