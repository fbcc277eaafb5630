"""Report that the database or the broker cannot be used: when it begins, and once a minute while it lasts.

Many threads of a process meet the same trouble, again and again; one line says it all. Its cause is outside this
process, so there is no traceback.
"""

from __future__ import annotations

import re  # noqa: TID251 - a constant pattern
import threading
import time

from pipeline.errors import DatabaseFull, Unreachable
from pipeline.log import Logger, get_logger

log = get_logger(__name__)

#: Seconds between two lines about the same trouble.
REPORT_SECONDS = 60.0

_NUMBER = re.compile(r"\d+")
_reported: dict[str, float] = {}
_lock = threading.Lock()


def report(error: Unreachable) -> None:
    """Log that the database or the broker cannot be used, unless the same was logged within the last minute."""
    if not is_due(f"{error.code} {error}"):
        return
    if isinstance(error, DatabaseFull):
        log.error("database_full", error=str(error))
    else:
        log.warning("service_unreachable", error=str(error))


def log_failure(logger: Logger, event: str, error: Exception, **fields: object) -> None:
    """Log a failed step, in an `except` block: with a traceback, unless the database or the broker is the cause."""
    if isinstance(error, Unreachable):
        report(error)
        if is_due(f"{event} {error}"):
            logger.error(event, error=type(error).__name__, **fields)
    else:
        logger.exception(event, **fields)


def is_due(trouble: str, now: float | None = None) -> bool:
    """Return whether a line about this trouble is due, and count it as written.

    Args:
        now: seconds of a monotonic clock; default: that of the process.
    """
    # Durations in a message differ each time.
    kind = _NUMBER.sub("", trouble)
    now = time.monotonic() if now is None else now
    with _lock:
        if now - _reported.get(kind, -REPORT_SECONDS) < REPORT_SECONDS:
            return False
        _reported[kind] = now
        return True
