"""Converts the values of a query's rows to JSON, as those of Parquet are."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

from pipeline.errors import InvalidInput
from pipeline.sources.read_options import ReadOptions

#: Values that JSON has.
PLAIN = frozenset({type(None), bool, int, str})


class UnreadableValue:
    """A value that the driver cannot represent, such as an instant beyond the year 9999.

    Args:
        reason: what the driver says.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __str__(self) -> str:
        return self._reason


class UnfitValue(Exception):
    """A value has no form in JSON, so that its row is refused."""


class ValueConverter:
    """Converts values.

    Args:
        options: what to do about bytes, NaN and infinity.
    """

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        found: dict[type, Callable[[Any], Any]] = {
            datetime: _instant,
            date: date.isoformat,
            time: time.isoformat,
            timedelta: timedelta.total_seconds,
            Decimal: self._decimal,
            float: self._float,
            UUID: str,
            bytes: self._bytes,
            bytearray: self._bytes,
            memoryview: self._bytes,
            list: self._list,
            tuple: self._list,
            dict: self._object,
            UnreadableValue: _refuse_unreadable,
        }
        self._by_type = found | {kind: str for kind in _ADDRESSES}

    def convert(self, value: Any) -> Any:
        """Return a value as JSON.

        Raises:
            UnfitValue: it has no form in JSON.
            InvalidInput: no value of its kind has.
        """
        kind = type(value)
        if kind in PLAIN:
            return value
        found = self._by_type.get(kind)
        if found is None:
            raise InvalidInput(f"a {kind.__name__}, which has no form in JSON; convert it to text in the query")
        return found(value)

    def _list(self, values: list[Any] | tuple[Any, ...]) -> list[Any]:
        return [self.convert(value) for value in values]

    def _object(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        return {str(name): self.convert(each) for name, each in value.items()}

    def _float(self, value: float) -> float | None:
        if math.isfinite(value):
            return value
        self._refuse_not_finite(value)
        return None

    def _decimal(self, value: Decimal) -> str | None:
        if value.is_finite():
            # `str` would write small numbers with an exponent, such as 1E-7.
            return format(value, "f")
        self._refuse_not_finite(value)
        return None

    def _refuse_not_finite(self, value: object) -> None:
        if self._options.nan == "refuse":
            raise UnfitValue(f"{value}: JSON has neither NaN nor infinity; --nan null stores null")

    def _bytes(self, value: bytes | bytearray | memoryview) -> str:
        if self._options.binary == "base64":
            return base64.b64encode(value).decode()
        if self._options.binary == "utf8":
            try:
                return bytes(value).decode()
            except UnicodeDecodeError:
                raise UnfitValue("bytes that are not text in UTF-8; --binary base64 keeps them") from None
        raise InvalidInput(
            "bytes, which JSON cannot represent; --binary utf8 reads them as text, --binary base64 encodes them"
        )


_ADDRESSES = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)


def _instant(value: datetime) -> str:
    if value.utcoffset() is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _refuse_unreadable(value: UnreadableValue) -> None:
    raise UnfitValue(f"what cannot be read: {value}")
