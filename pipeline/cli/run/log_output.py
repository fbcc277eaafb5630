"""Log messages of the library, on standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click


def configure_logging() -> None:
    """Print all log messages under `pipeline --debug`. Otherwise Python prints warnings and errors by default."""
    if click.get_current_context().find_root().params.get("debug"):
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
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
