"""Set up where log lines go and what they look like, in the processes that belong to pipeline."""

from __future__ import annotations

import logging
import os

from pipeline.telemetry.line_formats import LIBRARY_MESSAGE, LogFormat, LogLine, formatter

#: Standard error.
_STDERR = 2
#: Where lines past the handlers of `logging` go.
_target: str | None = None


def configure_output(level: int | str, text_format: str, log_format: LogFormat, filename: str | None = None) -> None:
    """Set up logging for this process, to standard error or a file, unless it is set up already.

    Args:
        text_format: of lines for people.
        filename: log file; None: standard error.
    """
    global _target
    _target = filename
    handler = logging.FileHandler(filename) if filename else logging.StreamHandler()
    handler.setFormatter(line_formatter(text_format, log_format))
    logging.basicConfig(level=level, handlers=[handler])


def line_formatter(text_format: str, log_format: LogFormat) -> logging.Formatter:
    """Return what turns records of `logging` into lines."""
    return logging.Formatter(text_format) if log_format is LogFormat.TEXT else _MachineFormatter(log_format)


def open_target() -> int:
    """Return a new file descriptor of where log lines go."""
    if _target is None:
        return os.dup(_STDERR)
    return os.open(_target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)


class _MachineFormatter(logging.Formatter):
    """Formats records as JSON objects, one a line."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__()
        self._encode = formatter(log_format)

    def format(self, record: logging.LogRecord) -> str:
        event, level = getattr(record, "event", None), record.levelname.lower()
        if event is not None:
            line = LogLine(record.created, level, record.name, event, dict(record.__dict__["fields"]))
        else:
            line = LogLine(record.created, level, record.name, LIBRARY_MESSAGE, {}, message=record.getMessage())
        if record.exc_info and event is None:
            kind = record.exc_info[0]
            line = line._replace(fields={"error_type": None if kind is None else kind.__name__})
        text = self._encode(line).decode()
        # Only while debug messages are logged.
        debugged = event is not None and record.exc_info
        return f"{text}\n{self.formatException(record.exc_info)}" if debugged else text  # type: ignore[arg-type]
