"""Converts the values of Arrow columns to JSON.

Python's dates end with the year 9999 and its times with microseconds, Arrow's do not. Instants, dates, times and
durations are therefore read as the integers that they are stored as.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from pipeline.errors import InvalidInput
from pipeline.sources.read_options import BinaryValues, NanValues

Convert = Callable[[Any], Any]

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY_SECONDS = 86_400


def integer_type(kind: Any, arrow: Any) -> Any:
    """Return the type to cast a column of type `kind` to, so that all instants, dates and times in it are integers."""
    types = arrow.types
    if types.is_date32(kind) or types.is_time32(kind):
        return arrow.int32()
    if types.is_temporal(kind):
        return arrow.int64()
    if types.is_dictionary(kind):
        value = integer_type(kind.value_type, arrow)
        return kind if value == kind.value_type else value
    return _nested_type(kind, arrow) if kind.num_fields else kind


def _nested_type(kind: Any, arrow: Any) -> Any:
    types = arrow.types
    fields = [field.with_type(integer_type(field.type, arrow)) for field in map(kind.field, range(kind.num_fields))]
    if types.is_struct(kind):
        return arrow.struct(fields)
    if types.is_map(kind):
        return arrow.map_(*fields[0].type)
    if types.is_fixed_size_list(kind):
        return arrow.list_(fields[0], kind.list_size)
    if types.is_large_list(kind):
        return arrow.large_list(fields[0])
    return arrow.list_(fields[0]) if types.is_list(kind) else kind


class ValueOptions(NamedTuple):
    """What to do about values that JSON does not have.

    Args:
        binary: `utf8`: bytes are text; `base64`: they are encoded. `refuse`: there are none.
        nan: `null`: NaN and infinity become null. `refuse`: they are kept, and refused with their row.
    """

    binary: BinaryValues = "refuse"
    nan: NanValues = "refuse"


def converter(kind: Any, arrow: Any, options: ValueOptions) -> Convert | None:
    """Return a function that converts values of type `kind`, read as `integer_type`, to JSON; None to keep them.

    The function raises `InvalidInput` for a value that text cannot express, such as an instant beyond the year 9999.
    """
    types = arrow.types
    scalar = _scalar_converter(kind, types, options)
    if scalar is not None:
        return _unless_null(scalar)
    if types.is_dictionary(kind):
        return converter(kind.value_type, arrow, options)
    if types.is_struct(kind):
        inner = [kind.field(index) for index in range(kind.num_fields)]
        fields = {field.name: converter(field.type, arrow, options) for field in inner}
        return _unless_null(partial(_convert_struct, fields))
    if types.is_map(kind):
        return _unless_null(partial(_convert_map, converter(kind.item_type, arrow, options)))
    if kind.num_fields and hasattr(kind, "value_type"):
        item = converter(kind.value_type, arrow, options)
        return None if item is None else _unless_null(lambda values: [item(value) for value in values])
    return None


def _scalar_converter(kind: Any, types: Any, options: ValueOptions) -> Convert | None:
    if options.nan == "null" and types.is_floating(kind):
        return lambda value: value if math.isfinite(value) else None
    if is_bytes(kind, types):
        return _base64 if options.binary == "base64" else _utf8
    return _plain_converter(kind, types)


def is_bytes(kind: Any, types: Any) -> bool:
    """Return whether values are bytes."""
    tests = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(test(kind) for test in tests)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidInput("bytes that are not text in UTF-8; --binary base64 keeps them") from None


def _plain_converter(kind: Any, types: Any) -> Convert | None:
    if types.is_timestamp(kind):
        return partial(_instant, _PER_SECOND[kind.unit], "Z" if kind.tz else "")
    if types.is_date32(kind):
        return _day
    if types.is_date64(kind):
        return lambda milliseconds: _day(milliseconds // (1_000 * _DAY_SECONDS))
    if types.is_time(kind):
        return partial(_time, _PER_SECOND[kind.unit])
    if types.is_duration(kind):
        per_second = _PER_SECOND[kind.unit]
        return lambda value: value / per_second
    if types.is_decimal(kind):
        # `str` would write small numbers with an exponent, such as 1E-7.
        return lambda value: format(value, "f")
    return str if _is_uuid(kind) else None


def _is_uuid(kind: Any) -> bool:
    return getattr(kind, "extension_name", None) == "arrow.uuid"


def _unless_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _convert_struct(fields: dict[str, Convert | None], value: dict[str, Any]) -> dict[str, Any]:
    return {name: inner if (convert := fields[name]) is None else convert(inner) for name, inner in value.items()}


def _convert_map(convert: Convert | None, entries: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {name: value if convert is None else convert(value) for name, value in entries}
    if len(found) < len(entries):
        raise InvalidInput("a map that has a key twice")
    return found


def _instant(per_second: int, zone: str, value: int) -> str:
    seconds, fraction = divmod(value, per_second)
    _check_day(seconds // _DAY_SECONDS, "an instant")
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}{_fraction(fraction, per_second)}{zone}"


def _day(days: int) -> str:
    _check_day(days, "a date")
    return date.fromordinal(days + _EPOCH_DAY).isoformat()


def _check_day(days: int, what: str) -> None:
    if days + _EPOCH_DAY > date.max.toordinal():
        raise InvalidInput(f"{what} beyond the year 9999")
    if days + _EPOCH_DAY < 1:
        raise InvalidInput(f"{what} before the year 1")


def _time(per_second: int, value: int) -> str:
    seconds, fraction = divmod(value, per_second)
    if not 0 <= seconds < _DAY_SECONDS:
        raise InvalidInput("a time beyond 24 hours")
    return f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{_fraction(fraction, per_second)}"


def _fraction(fraction: int, per_second: int) -> str:
    """Return a fraction of a second as microseconds, or as nanoseconds where it has any; nothing for zero."""
    if not fraction:
        return ""
    nanoseconds = fraction * (1_000_000_000 // per_second)
    return f".{nanoseconds:09}" if nanoseconds % 1_000 else f".{nanoseconds // 1_000:06}"
