"""Structured logging through the standard library: a constant event name followed by `key=value` fields."""

from __future__ import annotations

import logging
from collections.abc import Mapping


class Logger:
    """Write lines of the form `event key=value …` for one module."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """Log an error with the traceback of the current exception."""
        self._write(logging.ERROR, event, fields, with_traceback=True)

    def _write(self, level: int, event: str, fields: Mapping[str, object], *, with_traceback: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            line = " ".join([event, *(f"{name}={value!r}" for name, value in fields.items())])
            # Report the line that called the logger, not this one.
            self._logger.log(level, line, exc_info=with_traceback, stacklevel=3)


def get_logger(name: str) -> Logger:
    """Return the logger of a module. The application that imports the library configures the handlers."""
    return Logger(name)
