"""Checks of the settings. Secrets are never shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import SecretStr

from pipeline.cli.checks.check import Check, ok, warn
from pipeline.domain.redaction import redact_url
from pipeline.settings import Settings, variable

_URLS = ("database_url", "server_url", "broker_url", "flower_broker_api")
_SET = "(set)"
_NOT_SET = "(not set)"


def check_settings(settings: Settings, names: Iterable[str] = Settings.model_fields) -> Iterator[Check]:
    """Yield each of these settings with its value."""
    for name in names:
        value = getattr(settings, name)
        if name == "webhook_secret" and value is None:
            advice = "callbacks need a secret: export PIPELINE_WEBHOOK_SECRET=$(pipeline secret)"
            yield warn(variable(name), _NOT_SET, advice)
        else:
            yield ok(variable(name), _text(name, value))


def _text(name: str, value: Any) -> str:
    if value is None or value == ():
        return _NOT_SET
    if isinstance(value, SecretStr):
        return redact_url(value.get_secret_value()) if name in _URLS else _SET
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
