"""Logs of the library: on standard error, where they spoil no data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click


def show() -> None:
    """Under `pipeline --debug`, show all that is logged; otherwise Python itself prints warnings and worse."""
    if click.get_current_context().find_root().params.get("debug"):
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
        for name in ("pipeline", "workers"):
            logging.getLogger(name).setLevel(logging.DEBUG)


@contextmanager
def hushed() -> Iterator[None]:
    """Log nothing below an error, unless under `--debug`: the command itself says what it has done."""
    logger = logging.getLogger("pipeline")
    before = logger.level
    if before != logging.DEBUG:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
