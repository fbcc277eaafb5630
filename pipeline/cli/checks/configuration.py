"""Settings, each with its value; secrets are never shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.cli.checks.check import Check, ok, warn
from pipeline.settings import PREFIX, Settings

_URLS = ("database_url", "broker_url", "flower_broker_api")
_SET = "(set)"
_NOT_SET = "(not set)"


def check_settings(chosen: Settings) -> Iterator[Check]:
    """Yield a line for each setting."""
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        value = getattr(chosen, name)
        if name == "webhook_secret" and value is None:
            yield warn(variable, _NOT_SET, "callbacks need it: export PIPELINE_WEBHOOK_SECRET=$(pipeline secret)")
        else:
            yield ok(variable, _shown(name, value))


def shown_server(url: str) -> str:
    """Return a URL without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _shown(name: str, value: Any) -> str:
    if value is None or value == ():
        return _NOT_SET
    if isinstance(value, SecretStr):
        return shown_server(value.get_secret_value()) if name in _URLS else _SET
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
