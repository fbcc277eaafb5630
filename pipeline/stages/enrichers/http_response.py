"""What the answer of an HTTP service means for an item."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from pipeline.errors import Permanent, StageError, Throttled, Transient
from pipeline.stages.text.json_path import ABSENT, Steps, look

#: Statuses that say there is nothing under that name.
NOT_FOUND = frozenset({204, 404, 410})

#: Seconds that `Retry-After` is honoured at most: a mistake there must not park an item for a year.
LONGEST_RETRY_AFTER = 86_400.0

#: Request timeout, too early: the only 4xx that pass by themselves.
_PASSING = frozenset({408, 425})


def failure(status: int, retry_after: float | None, host: str) -> StageError | None:
    """Return what a status means, or None where the answer is to be read. `NOT_FOUND` is the caller's to decide."""
    said = f"{host} answered {status}"
    if 200 <= status < 300:
        return None
    if status == 429 or (status == 503 and retry_after is not None):
        return Throttled(said, retry_after=retry_after)
    if status >= 500 or status in _PASSING:
        return Transient(said)
    if 300 <= status < 400:
        return Permanent(f"{said}; redirects are not followed, give the final address in `url`")
    return Permanent(said)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, or None where it is absent or unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.isascii() and value.isdigit() else _until(value, now)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if not math.isnan(seconds) else None


def answer(body: bytes, fields: Mapping[str, Steps] | None, host: str) -> dict[str, Any]:
    """Return the chosen `fields` of a JSON body, null where absent, or without `fields` the whole object.

    Raises:
        Transient: the body is no JSON: a page of a proxy, or cut.
        Permanent: without `fields`, it is no JSON object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Transient(f"{host} answered {len(body)} bytes that are no JSON") from None
    if fields is not None:
        found = {name: look(value, steps) for name, steps in fields.items()}
        return {name: None if inner is ABSENT else inner for name, inner in found.items()}
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else f"{type(value).__name__}"
        raise Permanent(f"{host} answered {kind}, not a JSON object; choose parts of it by `fields`")
    return value


def _until(value: str, now: datetime) -> float:
    at = parsedate_to_datetime(value)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
