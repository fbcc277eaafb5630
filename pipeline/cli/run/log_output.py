"""Log messages of the library, on standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pipeline import settings
from pipeline.telemetry.line_formats import LogFormat
from pipeline.telemetry.log_output import configure_output

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logging() -> None:
    """Print all log messages under `pipeline --debug`; otherwise warnings and errors, as Python does by default."""
    log_format = settings.load().log_format
    if log_format is not LogFormat.TEXT:
        configure_output(logging.WARNING, FORMAT, log_format)
    if click.get_current_context().find_root().params.get("debug"):
        configure_output(logging.INFO, FORMAT, log_format)
        logging.getLogger().setLevel(logging.INFO)
        for name in ("pipeline", "workers"):
            logging.getLogger(name).setLevel(logging.DEBUG)


@contextmanager
def errors_only() -> Iterator[None]:
    """Log errors only, unless under `--debug`: for commands that print what they did."""
    logger = logging.getLogger("pipeline")
    level = logger.level
    if level != logging.DEBUG:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
