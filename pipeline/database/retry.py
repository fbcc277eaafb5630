"""Transactions that are begun again when the database was in trouble."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoneFree

from pipeline.domain.backoff import Backoff
from pipeline.errors import Unreachable
from pipeline.log import get_logger

log = get_logger(__name__)

T = TypeVar("T")

#: Away, locked, full, too slow, a deadlock, no connection free: the database's trouble, which passes; never that of
#: what was written.
TROUBLE = (Unreachable, OperationalError, NoneFree)

#: A deadlock is over at once; a restart takes seconds.
_BACKOFF = Backoff(base=timedelta(milliseconds=50), cap=timedelta(seconds=2))


def retrying(run: Callable[[], T], *, patience: timedelta, stopping: threading.Event | None = None) -> T:
    """Return what `run` returns; while the database is in trouble, call it again, with growing delays.

    `run` is one whole transaction, and harmless a second time: where the connection is lost in the commit, nobody knows
    whether the first has happened.

    Args:
        patience: after which the last trouble is raised.
        stopping: when set, nothing is waited for any more.
    """
    stopping = stopping or threading.Event()
    end = time.monotonic() + patience.total_seconds()
    attempt = 0
    while True:
        try:
            return run()
        except TROUBLE as trouble:
            attempt += 1
            if time.monotonic() > end or stopping.wait(_BACKOFF.after(attempt).total_seconds()):
                raise
            log.warning("database_in_trouble", error=type(trouble).__name__, attempt=attempt)
