"""Structured logging through the standard library: a constant event name followed by `key=value` fields."""

from __future__ import annotations

import logging
import re  # noqa: TID251 - a constant pattern
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

#: Called with the name and the fields of every event, whether it is logged or not; None: nothing is. Tests set it to
#: refuse fields that the table of events does not have.
check: Callable[[str, Mapping[str, object]], None] | None = None

#: Frames of an exception that are logged: the last ones.
MAX_FRAMES = 10
#: A URL inside a text, and the part of it that is logged: no user name, no password, no path, no query.
_URL = re.compile(
    r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://)(?:[^\s/'\"@]*@)?(?P<host>[^\s/'\"?#,;)]*)[^\s'\",;)]*"
)
#: The folder of this package, and that of what it is installed with.
_HERE = Path(__file__).parent
_OURS = (f"{_HERE}/", f"{_HERE.parent / 'workers'}/")


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
        """Log an error with the type of the current exception and the places in our code that it came through.

        Its message may quote what users store, so it is left out. While debug messages are logged, the whole traceback
        follows.
        """
        error = sys.exception()
        if error is not None:
            fields |= {"error_type": type(error).__name__, "frames": own_frames(error.__traceback__)}
        self._write(logging.ERROR, event, fields, with_traceback=self._logger.isEnabledFor(logging.DEBUG))

    def _write(self, level: int, event: str, fields: Mapping[str, object], *, with_traceback: bool = False) -> None:
        if check is not None:
            check(event, fields)
        if self._logger.isEnabledFor(level):
            shown = {name: redact_urls(value) if isinstance(value, str) else value for name, value in fields.items()}
            # Report the line that called the logger, not this one.
            self._logger.log(
                level,
                text_line(event, shown),
                exc_info=with_traceback,
                stacklevel=3,
                extra={"event": event, "fields": shown},
            )


def get_logger(name: str) -> Logger:
    """Return the logger of a module. The application that imports the library configures the handlers."""
    return Logger(name)


def text_line(event: str, fields: Mapping[str, object]) -> str:
    """Return an event as people read it."""
    return " ".join([event, *(f"{name}={value!r}" for name, value in fields.items())])


def redact_urls(text: str) -> str:
    """Return a text in which each URL is only scheme, host and port: the rest may be secret."""
    return _URL.sub(r"\g<scheme>\g<host>", text) if "://" in text else text


def own_frames(traceback: TracebackType | None) -> Sequence[str]:
    """Return the places in our code that an exception came through, innermost last, as `file:line function`."""
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename.startswith(_OURS):
            path = code.co_filename.removeprefix(f"{_HERE.parent}/")
            found.append(f"{path}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return found[-MAX_FRAMES:]
