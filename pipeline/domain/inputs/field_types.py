"""Types of fields that a definition asks for: what fits, and what it becomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import orjson


class FieldType(StrEnum):
    """The type that values of a field get."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    #: A date and a time, as ISO 8601: in UTC with `Z` if it has a zone.
    INSTANT = "instant"


#: Returned for a value that does not fit.
UNFIT: Final = object()

_INTEGERS = range(-(2**63), 2**64)
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_NUMBER_CHARACTERS = frozenset("0123456789+-.eE")


def convert(value: Any, kind: FieldType) -> Any:
    """Return a value as one of type `kind`, or `UNFIT`. Null and, except for text, empty text are null."""
    if value is None:
        return None
    if isinstance(value, str) and kind is not FieldType.TEXT:
        value = value.strip()
        if not value:
            return None
    return _CONVERTERS[kind](value)


def plain_text(value: Any) -> Any:
    """Return text as it is, and a number or a boolean as its JSON text; `UNFIT` for anything else."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, bool | int | float) else UNFIT


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        digits = value[1:] if value[:1] in ("+", "-") else value
        value = int(value) if digits.isascii() and digits.isdecimal() and len(digits) <= 20 else UNFIT
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _INTEGERS else UNFIT


def _number(value: Any) -> Any:
    whole = _integer(value)
    if whole is not UNFIT or not isinstance(value, str):
        return value if isinstance(value, float) else whole
    try:
        number = float(value) if _NUMBER_CHARACTERS.issuperset(value) else math.nan
    except ValueError:
        return UNFIT
    return number if math.isfinite(number) else UNFIT


def _boolean(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    word = str(value).lower() if isinstance(value, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else UNFIT


def _instant(value: Any) -> Any:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
        if instant is None:
            return UNFIT
        if instant.tzinfo is None:
            return instant.isoformat()
        return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    except (ValueError, OverflowError):
        return UNFIT


_CONVERTERS: dict[FieldType, Callable[[Any], Any]] = {
    FieldType.TEXT: plain_text,
    FieldType.NUMBER: _number,
    FieldType.INTEGER: _integer,
    FieldType.BOOLEAN: _boolean,
    FieldType.INSTANT: _instant,
}
