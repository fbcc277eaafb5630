"""Logs of a worker process: one line an event, to standard error or a file."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning

FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"

#: Two lines for every item, which would drown everything else.
_LOUD = ("celery.worker.strategy", "celery.app.trace")


def configure(level: int | str | None, filename: str | None = None) -> None:
    """Set up logging for this process; `level` as Celery hands it over."""
    logging.basicConfig(format=FORMAT, level=level or logging.INFO, **_target(filename))
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    # That work in hand goes on when a connection is lost is what we want: it is recorded all the same.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


def _target(filename: str | None) -> dict[str, Any]:
    return {"filename": filename} if filename else {}
