"""Logging: constant event names with facts in fields, through the standard library's handlers."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog


def _as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """Render `event key=value …` for whatever handler the program has."""
    exception = event.pop("exception", None)
    name = event.pop("event")
    line = " ".join([name, *(f"{key}={value!r}" for key, value in event.items())])
    return f"{line}\n{exception}" if exception else line


def get_logger(name: str) -> Any:
    """Return a logger for a module; the program that imports us decides where its lines go."""
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, structlog.processors.format_exc_info, _as_text],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
