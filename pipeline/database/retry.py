"""Retrying transactions that failed because the database could not be used for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from pipeline.database.trouble import report
from pipeline.domain.backoff import Backoff
from pipeline.errors import Unreachable
from pipeline.log import get_logger

log = get_logger(__name__)

T = TypeVar("T")

#: Unreachable, locked, full, too slow, a deadlock, no free connection: database problems that pass. What was
#: written is never the cause.
TRANSIENT_ERRORS = (Unreachable, OperationalError, NoFreeConnection)

#: A deadlock is over at once; a restart takes seconds.
_BACKOFF = Backoff(base=timedelta(milliseconds=50), cap=timedelta(seconds=2))


def retrying(run: Callable[[], T], *, patience: timedelta, stopping: threading.Event | None = None) -> T:
    """Return what `run` returns, calling it again with growing delays after a transient error.

    Args:
        run: one whole transaction, harmless when repeated: if the connection is lost during the commit, nobody knows
            whether it took effect.
        patience: how long to retry; after that, the last error is raised.
        stopping: once it is set, the next error is raised without a retry.
    """
    stopping = stopping or threading.Event()
    end = time.monotonic() + patience.total_seconds()
    attempt = 0
    while True:
        try:
            return run()
        except TRANSIENT_ERRORS as error:
            attempt += 1
            if time.monotonic() > end or stopping.wait(_BACKOFF.delay_after(attempt).total_seconds()):
                raise
            if isinstance(error, Unreachable):
                report(error)
            else:
                log.warning("database_in_trouble", error=type(error).__name__, attempt=attempt)
