"""API keys as commands show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.access.keys import ApiKey
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.streams import print_data
from pipeline.domain.api_key import split_key


def key_json(key: ApiKey, now: datetime) -> dict[str, Any]:
    """Return a key as JSON values, without its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": [scope.value for scope in key.scopes],
        "rate": key.rate,
        "state": _state(key, now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def print_new_key(key: str, *, as_json: bool, message: str) -> None:
    """Print a key that was just created: alone on standard output."""
    parts = split_key(key)
    assert parts is not None
    if as_json:
        print_json({"id": parts.id, "key": key})
        return
    Messages().info(f"{message}; id {parts.id}")
    print_data(key)


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"
