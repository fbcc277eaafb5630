"""Logs of the library: on standard error, where they spoil no data."""

from __future__ import annotations

import logging

import click


def show() -> None:
    """Under `pipeline --debug`, show all that is logged; otherwise Python itself prints warnings and worse."""
    if click.get_current_context().find_root().params.get("debug"):
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
        for name in ("pipeline", "workers"):
            logging.getLogger(name).setLevel(logging.DEBUG)
