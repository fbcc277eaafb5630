"""Logging of a worker process: one line per event, to standard error or a file."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning

FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"

#: Loggers with two lines per item, which would drown everything else.
_NOISY = ("celery.worker.strategy", "celery.app.trace")


def configure(level: int | str | None, filename: str | None = None) -> None:
    """Set up logging for this process.

    Args:
        level: as Celery passes it.
        filename: log file; None: standard error.
    """
    logging.basicConfig(format=FORMAT, level=level or logging.INFO, **_target(filename))
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Continuing work after a lost connection is intended: its results are recorded.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


def _target(filename: str | None) -> dict[str, Any]:
    return {"filename": filename} if filename else {}
