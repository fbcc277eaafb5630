"""Logging: constant event names with facts in fields, through the standard library's handlers."""

from __future__ import annotations

import logging
from collections.abc import Mapping


class Logger:
    """Writes lines `event key=value …` for one module."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **facts: object) -> None:
        self._write(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: object) -> None:
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: object) -> None:
        self._write(logging.WARNING, event, facts)

    def error(self, event: str, **facts: object) -> None:
        self._write(logging.ERROR, event, facts)

    def exception(self, event: str, **facts: object) -> None:
        """Write an error with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, event, facts, with_traceback=True)

    def _write(self, level: int, event: str, facts: Mapping[str, object], *, with_traceback: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            line = " ".join([event, *(f"{name}={value!r}" for name, value in facts.items())])
            # The place of a line is where its module wrote it.
            self._logger.log(level, line, exc_info=with_traceback, stacklevel=3)


def get_logger(name: str) -> Logger:
    """Return a logger for a module; the program that imports us decides where its lines go."""
    return Logger(name)
