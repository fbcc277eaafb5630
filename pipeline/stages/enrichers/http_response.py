"""What the response of an HTTP service means for an item."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from json import detect_encoding
from typing import Any

from pipeline.domain.strict_json import LossyJson, parse_strictly
from pipeline.errors import Permanent, StageError, Throttled, Transient
from pipeline.stages.text.json_path import ABSENT, JsonPath, get_value

#: Statuses that mean the service has nothing for the item.
NOT_FOUND = frozenset({204, 404, 410})

#: Request timeout and too early: the only 4xx statuses that may go away by themselves.
_TRANSIENT = frozenset({408, 425})


def error_for_status(status: int, retry_after: timedelta | None, host: str) -> StageError | None:
    """Return the error that a status means, or None for 2xx. The caller handles `NOT_FOUND` first."""
    error = _error_for_status(status, retry_after, f"{host} answered {status}")
    if error is not None:
        error.status = status
    return error


def _error_for_status(status: int, retry_after: timedelta | None, message: str) -> StageError | None:
    if 200 <= status < 300:
        return None
    if status == 429 or (status == 503 and retry_after is not None):
        return Throttled(message, retry_after=None if retry_after is None else retry_after.total_seconds())
    if status >= 500 or status in _TRANSIENT:
        return Transient(message)
    if 300 <= status < 400:
        return Permanent(f"{message}; redirects are not followed: put the final address in `url`")
    return Permanent(message)


def decode_answer(body: bytes, charset: str | None, fields: Mapping[str, JsonPath] | None, host: str) -> dict[str, Any]:
    """Return the selected `fields` of a JSON body, null if absent; without `fields`, the whole object.

    Args:
        charset: the encoding that the response declares, for a body in none that JSON may have.

    Raises:
        Transient: the body is not JSON, for example an error page of a proxy, or truncated.
        Permanent: without `fields`, the body is not a JSON object; or it would be read as something else than it says.
    """
    try:
        value = parse_strictly(_decode(body, charset))
    except LossyJson as error:
        raise Permanent(f"{host} answered JSON that cannot be read: {error}") from None
    except ValueError:
        raise Transient(f"{host} answered {len(body)} bytes that are not JSON") from None
    if fields is not None:
        selected = {name: get_value(value, path) for name, path in fields.items()}
        return {name: None if inner is ABSENT else inner for name, inner in selected.items()}
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else f"{type(value).__name__}"
        raise Permanent(f"{host} answered {kind}, not a JSON object; select parts of it with `fields`")
    return value


def _decode(body: bytes, charset: str | None) -> str:
    try:
        # UTF-8, UTF-16 or UTF-32, with a byte order mark or without.
        return body.decode(detect_encoding(body))
    except UnicodeDecodeError:
        if charset is None:
            raise
        try:
            return body.decode(charset)
        except LookupError as error:
            raise ValueError(f"unknown encoding {charset}") from error
