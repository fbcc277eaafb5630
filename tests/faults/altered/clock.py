"""A clock that is minutes off, where pipeline or Celery reads it; the monotonic one is right, as on a real machine."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, tzinfo
from typing import Any

from pipeline import context
from pipeline.database import clock
from pipeline.delivery.sender import sender
from tests.faults.altered.switch import is_on

#: By how much, by the name of what switches it on.
OFF = {"clock_ahead": timedelta(minutes=5), "clock_behind": timedelta(minutes=-5)}

_true_time = time.time


class _Kind(type):
    """True instants are instances of the altered class, and all but `now` is that of the true one."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, datetime)

    def __getattr__(cls, name: str) -> Any:
        return getattr(datetime, name)


class _Altered(metaclass=_Kind):
    @staticmethod
    def now(tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + _error()


def alter() -> None:
    for module in (context, clock, sender):
        # Not in `datetime` itself: compiled modules refuse another class there.
        vars(module)["datetime"] = _Altered
    time.time = lambda: _true_time() + _error().total_seconds()


def _error() -> timedelta:
    return sum((off for name, off in OFF.items() if is_on(name)), timedelta())
