"""The value of the order column in a row: stored as text, and handed to the server again to go on after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pipeline.errors import InvalidInput

#: How values of each type are written and read; an integer is stored as it is.
_KINDS: dict[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    str: ("text", str, str),
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    Decimal: ("decimal", str, Decimal),
    float: ("float", repr, float),
    UUID: ("uuid", str, UUID),
    bytes: ("bytes", bytes.hex, bytes.fromhex),
}
_READERS = {kind: read for kind, _, read in _KINDS.values()}


def encode_order_value(column: str, value: object) -> str | int:
    """Return a value of the order column as it is stored.

    Raises:
        InvalidInput: it is NULL, or of a type that has no order of its own.
    """
    if value is None:
        raise InvalidInput(f"column {column!r} holds NULL, so that reading cannot go on after it; order by a key")
    if type(value) is int:
        return value
    found = _KINDS.get(type(value))
    if found is None:
        kind = type(value).__name__
        raise InvalidInput(f"column {column!r} holds a value after which reading cannot go on ({kind}); order by a key")
    kind, write, _ = found
    return f"{kind}:{write(value)}"


def decode_order_value(stored: str | int) -> Any:
    """Return the value that `encode_order_value` has written."""
    if isinstance(stored, int):
        return stored
    kind, _, text = stored.partition(":")
    return _READERS[kind](text)
