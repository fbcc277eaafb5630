"""Logging of a worker process: one line per event, to standard error or a file."""

from __future__ import annotations

import logging
import warnings

from celery.exceptions import CPendingDeprecationWarning

from pipeline import settings
from pipeline.errors import InvalidSettings
from pipeline.telemetry.line_formats import LogFormat
from pipeline.telemetry.log_output import configure_output

FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"

#: Loggers with two lines per item, which would drown everything else.
_NOISY = ("celery.worker.strategy", "celery.app.trace")


def configure(level: int | str | None, filename: str | None = None) -> None:
    """Set up logging for this process.

    Args:
        level: as Celery passes it.
        filename: log file; None: standard error.
    """
    configure_output(level or logging.INFO, FORMAT, _log_format(), filename)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Continuing work after a lost connection is intended: its results are recorded.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


def _log_format() -> LogFormat:
    try:
        return settings.load().log_format
    except InvalidSettings:
        # The engine says so, when it starts.
        return LogFormat.TEXT
