"""docker-compose.yml as Compose reads it: merged, its variables filled in."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.paths import ROOT

FILE = ROOT / "docker-compose.yml"
TEXT = FILE.read_text(encoding="utf-8")

#: What has to be in `.env`, as the file itself demands.
SECRETS = {
    "POSTGRES_PASSWORD": "Ada1815",
    "BROKER_PASSWORD": "Charles1791",
    "PIPELINE_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "PIPELINE_FLOWER_AUTH": "ada:lovelace",
}

#: `${NAME}`, `${NAME:-default}`, `${NAME:?what to do}`; the innermost first.
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:-|:\?)([^{}]*))?\}")


def variables() -> dict[str, set[str]]:
    """Return each variable of the file with the ways in which it is used: ``, `:-`, `:?`."""
    found: dict[str, set[str]] = {}
    text = TEXT
    while match := VARIABLE.search(text):
        found.setdefault(match[1], set()).add(match[2] or "")
        text = text[: match.start()] + text[match.end() :]
    return found


def services(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the services, with variables from `environment`.

    Raises:
        KeyError: one that is needed is not there.
    """
    document: dict[str, dict[str, Any]] = _filled(yaml.safe_load(TEXT), environment)["services"]
    return document


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, environment) for inner in value]
    return _interpolated(value, environment) if isinstance(value, str) else value


def _interpolated(text: str, environment: Mapping[str, str]) -> str:
    while match := VARIABLE.search(text):
        name, how, rest = match.groups()
        if not environment.get(name) and how == ":?":
            raise KeyError(f"{name}: {rest}")
        text = text[: match.start()] + (environment.get(name) or rest or "") + text[match.end() :]
    return text.replace("$$", "$")
