"""Payloads: which values an item may carry, and the JSON text they are stored as."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.errors import InvalidInput

#: Largest payload, as compact JSON. Keep larger documents in a store and put their address in the payload.
MAX_PAYLOAD_BYTES = 256 * 1024

#: How deep objects and arrays may be nested, the payload itself included.
MAX_DEPTH = 64

_ALLOWED_INTEGERS = range(-(2**63), 2**64)
#: Characters of a path or key shown in messages.
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Record:
    """One item read from an input.

    Args:
        line: the line where it begins, counted from 1; for Parquet, the row number.
        payload: a JSON object that `encode` accepts.
        encoded: the result of `encode_bytes`, if the reader made it to check the payload.
        file: name of the file that it is in, if the input has several.
        after: where reading goes on after it; None: the input cannot be resumed.
    """

    line: int
    payload: dict[str, Any]
    encoded: bytes | None = field(default=None, compare=False, repr=False)
    file: str | None = None
    after: InputCursor | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record that was rejected.

    Args:
        line: the line where it begins, counted from 1; for Parquet and for items from Python, the item's number.
        reason: why, for a user.
        text: the record as it was read, or its payload as JSON, so that it can be fixed and submitted again. A line
            that is too long is truncated.
        file: name of the file that it is in, if the input has several.
    """

    line: int
    reason: str
    text: str
    file: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages: its line, and its file if the input has several."""
        return f"line {self.line}" if self.file is None else f"{self.file}, line {self.line}"


@dataclass(frozen=True, slots=True)
class UnreadRecord(Rejection):
    """One record that its source rejected.

    Args:
        after: where reading goes on after it; None: the input cannot be resumed.
    """

    after: InputCursor | None = field(default=None, compare=False, repr=False)


def encode(payload: object, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> str:
    """Return `payload` as compact JSON text.

    Raises:
        InvalidInput: it is not a mapping, is nested deeper than `MAX_DEPTH`, is larger than `max_bytes`, or contains a
            value that JSON or a database cannot hold unchanged; the message names the value's path.
    """
    return encode_bytes(payload, max_bytes=max_bytes).decode()


def encode_bytes(payload: object, *, max_bytes: int = MAX_PAYLOAD_BYTES, is_parsed: bool = False) -> bytes:
    """Return `payload` as compact JSON in UTF-8; raise like `encode`.

    Args:
        is_parsed: whether orjson has made it of JSON, so that it has no values that JSON cannot represent.
    """
    if not isinstance(payload, Mapping):
        raise InvalidInput(f"payload is {_type_name(payload)}, not an object")
    value = payload if isinstance(payload, dict) else dict(payload)
    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        raise InvalidInput(_find_fault(value, "payload", 1) or f"payload is not JSON: {error}") from None
    fault = _find_fault(value, "payload", 1) if _is_suspicious(encoded, value, is_parsed) else None
    if fault is not None:
        raise InvalidInput(fault)
    if len(encoded) > max_bytes:
        raise InvalidInput(f"payload has {len(encoded):,} bytes as JSON; the limit is {max_bytes:,}")
    return encoded


def find_problem(payload: object, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> str | None:
    """Return why `encode` would reject `payload`, or None if it would not."""
    try:
        encode_bytes(payload, max_bytes=max_bytes)
    except InvalidInput as error:
        return str(error)
    return None


def to_text(payload: object) -> str:
    """Return `payload` as JSON text, or as close to it as possible if `encode` rejects it."""
    try:
        return json.dumps(payload, ensure_ascii=False, default=str).encode().decode()
    except UnicodeEncodeError:
        # A lone surrogate: an escape preserves it.
        return json.dumps(payload, default=str)
    except Exception:
        # Objects of the caller's may raise anything, and deep nesting defeats `str` as well.
        return _abbreviated(payload)


def _abbreviated(payload: object) -> str:
    try:
        return str(payload).encode().decode()
    except Exception:
        return reprlib.repr(payload)


def _is_suspicious(encoded: bytes, value: object, is_parsed: bool) -> bool:
    """Return whether to run the slow search for a fault; three scans in C clear nearly every payload."""
    return (
        b"\\u0000" in encoded
        or encoded.count(b"{") + encoded.count(b"[") > MAX_DEPTH
        # orjson turns NaN into null, and dates, UUIDs and enums into text, so they do not survive the round trip.
        or (not is_parsed and orjson.loads(encoded) != value)
    )


def _find_fault(value: object, path: str, depth: int) -> str | None:
    if not isinstance(value, dict | list | tuple):
        fault = _text_fault(value) if isinstance(value, str) else _scalar_fault(value)
        return f"{_shorten(path)} {fault}" if fault else None
    if depth > MAX_DEPTH:
        return f"payload is nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, dict):
        return _key_fault(value, path) or _first_fault(value.items(), path, depth + 1)
    return _first_fault(enumerate(value), path, depth + 1)


def _first_fault(children: Iterable[tuple[Any, Any]], path: str, depth: int) -> str | None:
    for key, child in children:
        fault = _find_fault(child, path + _path_step(key), depth)
        if fault is not None:
            return fault
    return None


def _key_fault(value: Mapping[Any, Any], path: str) -> str | None:
    for key in value:
        if not isinstance(key, str):
            return f"{_shorten(path)} has the key {_shorten(repr(key))}, {_type_name(key)}; JSON keys must be strings"
        fault = _text_fault(key)
        if fault is not None:
            return f"{_shorten(path)} has the key {_shorten(repr(key))}, which {fault}"
    return None


def _text_fault(text: str) -> str | None:
    if "\x00" in text:
        return "contains a NUL character, which databases cannot store; remove it"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "contains a lone surrogate (half of a UTF-16 pair), which is not valid text; remove it"
    return None


def _scalar_fault(value: object) -> str | None:
    if type(value) is float:
        return None if math.isfinite(value) else f"is {value}: JSON has neither NaN nor infinity; use null"
    if isinstance(value, int) and not isinstance(value, Enum):
        return None if value in _ALLOWED_INTEGERS else "is an integer beyond 64 bits; send it as a string"
    return None if value is None else f"is {_type_name(value)}, not JSON; convert it first, for example to text"


def _path_step(key: object) -> str:
    if isinstance(key, str):
        return f".{key}" if key.isidentifier() else f"[{key!r}]"
    return f"[{key}]"


def _type_name(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
