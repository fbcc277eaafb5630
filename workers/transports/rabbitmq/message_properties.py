"""Encodes and decodes the properties and headers that Celery's messages have, in few steps.

All others are left to py-amqp. The result is always the same as py-amqp's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

from amqp import Message
from amqp.serialization import decode_properties_basic

_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS = 0x8000, 0x4000, 0x2000
_DELIVERY_MODE, _PRIORITY, _CORRELATION_ID, _REPLY_TO = 0x1000, 0x0800, 0x0400, 0x0200
#: Bits of all other properties, and the bit that announces further bits.
_OTHERS = 0x01FF
_BITS = {
    "content_type": _CONTENT_TYPE,
    "content_encoding": _CONTENT_ENCODING,
    "application_headers": _HEADERS,
    "delivery_mode": _DELIVERY_MODE,
    "priority": _PRIORITY,
    "correlation_id": _CORRELATION_ID,
    "reply_to": _REPLY_TO,
}

_SHORT = Struct(">H")
_LONG = Struct(">I")
_TAGGED_LENGTH = Struct(">cI")
_TAGGED_INTEGER = Struct(">ci")
_STRING, _INTEGER, _BOOLEAN, _NOTHING = b"SItV"
_MOST = 2**31 - 1


class _Unusual(Exception):
    """Only py-amqp can encode or decode this."""


def decode(buffer: bytes, start: int) -> dict[str, Any]:
    """Return the properties that start at `start`."""
    try:
        return _decode(buffer, start)
    except (_Unusual, UnicodeDecodeError):
        found: dict[str, Any] = decode_properties_basic(buffer, start)[0]
        return found


def _decode(buffer: bytes, start: int) -> dict[str, Any]:
    (bits,) = _SHORT.unpack_from(buffer, start)
    if bits & _OTHERS:
        raise _Unusual
    found: dict[str, Any] = {}
    at = start + 2
    for name, bit in _BITS.items():
        if not bits & bit:
            continue
        if bit == _HEADERS:
            end = at + 4 + _LONG.unpack_from(buffer, at)[0]
            found[name] = _decode_table(buffer, at + 4, end)
            at = end
        elif bit in (_DELIVERY_MODE, _PRIORITY):
            found[name] = buffer[at]
            at += 1
        else:
            end = at + 1 + buffer[at]
            found[name] = buffer[at + 1 : end].decode()
            at = end
    return found


def _decode_table(buffer: bytes, at: int, end: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    while at < end:
        value = at + 1 + buffer[at]
        name = buffer[at + 1 : value].decode()
        kind = buffer[value]
        value += 1
        if kind == _STRING:
            at = value + 4 + _LONG.unpack_from(buffer, value)[0]
            table[name] = buffer[value + 4 : at].decode()
        elif kind == _INTEGER:
            at = value + 4
            table[name] = int.from_bytes(buffer[value:at], "big", signed=True)
        elif kind == _BOOLEAN:
            at = value + 1
            table[name] = buffer[value] != 0
        elif kind == _NOTHING:
            at = value
            table[name] = None
        else:
            raise _Unusual
    return table


def encode(message: Message) -> bytes:
    """Return a message's properties in wire format.

    Raises:
        AMQPError: a header has a type that cannot be sent.
    """
    try:
        return _encode(message.properties)
    except _Unusual:
        sent: bytes = message._serialize_properties()
        return sent


def _encode(properties: Mapping[str, Any]) -> bytes:
    bits, pieces = 0, [b""]
    for name, bit in _BITS.items():
        value = properties.get(name)
        if value is None:
            continue
        bits |= bit
        if bit == _HEADERS:
            pieces += _encode_table(value)
        elif bit in (_DELIVERY_MODE, _PRIORITY):
            pieces.append(_octet(value))
        else:
            pieces.append(_short_string(value))
    if any(name not in _BITS and properties[name] is not None for name in properties):
        raise _Unusual
    pieces[0] = _SHORT.pack(bits)
    return b"".join(pieces)


def _encode_table(table: Any) -> list[bytes]:
    if type(table) is not dict:
        raise _Unusual
    pieces = [b""]
    for name, value in table.items():
        kind = type(value)
        pieces.append(_name(name))
        if kind is str:
            text = value.encode("utf-8", "surrogatepass")
            pieces += (_TAGGED_LENGTH.pack(b"S", len(text)), text)
        elif kind is bool:
            pieces.append(b"t\x01" if value else b"t\x00")
        elif kind is int and -_MOST <= value <= _MOST:
            pieces.append(_TAGGED_INTEGER.pack(b"I", value))
        elif value is None:
            pieces.append(b"V")
        else:
            raise _Unusual
    pieces[0] = _LONG.pack(sum(map(len, pieces)))
    return pieces


def _octet(value: Any) -> bytes:
    if type(value) is not int or not 0 <= value < 256:
        raise _Unusual
    return bytes((value,))


def _short_string(value: Any) -> bytes:
    if type(value) is not str:
        raise _Unusual
    text = value.encode("utf-8", "surrogatepass")
    if len(text) > 255:
        raise _Unusual
    return bytes((len(text),)) + text


@lru_cache(1_024)
def _name(value: Any) -> bytes:
    return _short_string(value)
