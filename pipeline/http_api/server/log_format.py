"""Logging of the server's processes: one line per event, to standard error."""

from __future__ import annotations

import logging

from pipeline import settings
from pipeline.telemetry.log_output import configure_output

FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"


def configure_logging(level: int) -> None:
    """Set up logging for this process."""
    configure_output(level, FORMAT, settings.load().log_format)
    # uvicorn's lines repeat what ours say, or say it about every request.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    # Two lines per item, as in a worker.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
