"""Payloads: which values an item may carry, and the JSON text that is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from pipeline.errors import InvalidInput

#: Of one payload as compact JSON; larger documents belong in a store, with their address in the payload.
MAX_PAYLOAD_BYTES = 256 * 1024

#: Objects and arrays within each other, the payload itself included.
MAX_DEPTH = 64

_INTEGERS = range(-(2**63), 2**64)
_PATH_LIMIT = 120


@dataclass(frozen=True, slots=True)
class Record:
    """One item that was read.

    Args:
        line: where it begins in the input, from 1; of a Parquet file, the row's number.
        payload: a JSON object that `encode` accepts.
    """

    line: int
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record that was refused.

    Args:
        line: where it begins in the input, from 1; of a Parquet file or of items from Python, its number.
        reason: why, for a person.
        text: the record as it was given, or its payload as JSON, so that it can be mended and submitted again; of a
            line that is too long only the beginning.
    """

    line: int
    reason: str
    text: str


def encode(payload: object, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> str:
    """Return `payload` as compact JSON text.

    Raises:
        InvalidInput: not a mapping, or a value that JSON or a database cannot hold unchanged (the message names its
            path), nested deeper than `MAX_DEPTH`, or larger than `max_bytes`.
    """
    return body(payload, max_bytes=max_bytes).decode()


def text_of(payload: object) -> str:
    """Return `payload` as JSON text, also where `encode` refuses it."""
    try:
        return json.dumps(payload, ensure_ascii=False, default=str).encode().decode()
    except UnicodeEncodeError:
        # A lone surrogate: as an escape, it stays what it was.
        return json.dumps(payload, default=str)
    except (TypeError, ValueError, RecursionError):
        return str(payload)


def problem(payload: object, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> str | None:
    """Return why `encode` would refuse `payload`, or None where it would not."""
    try:
        body(payload, max_bytes=max_bytes)
    except InvalidInput as error:
        return str(error)
    return None


def body(payload: object, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """Return what `encode` returns, as UTF-8."""
    if not isinstance(payload, Mapping):
        raise InvalidInput(f"payload is {_kind(payload)}, not an object")
    value = payload if isinstance(payload, dict) else dict(payload)
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        raise InvalidInput(_fault(value, "payload", 1) or f"payload is not JSON: {error}") from None
    fault = _fault(value, "payload", 1) if _is_suspicious(text, value) else None
    if fault is not None:
        raise InvalidInput(fault)
    if len(text) > max_bytes:
        raise InvalidInput(f"payload has {len(text):,} bytes as JSON; the limit is {max_bytes:,}")
    return text


def _is_suspicious(text: bytes, value: object) -> bool:
    """Say whether the slow search for a fault is worth it; three scans in C clear nearly every payload."""
    return (
        b"\\u0000" in text
        or text.count(b"{") + text.count(b"[") > MAX_DEPTH
        # orjson turns NaN into null, and dates, UUIDs, enums into text: what comes back is not what went in.
        or orjson.loads(text) != value
    )


def _fault(value: object, path: str, depth: int) -> str | None:
    if not isinstance(value, dict | list | tuple):
        fault = _text_fault(value) if isinstance(value, str) else _scalar_fault(value)
        return f"{_cut(path)} {fault}" if fault else None
    if depth > MAX_DEPTH:
        return f"payload is nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, dict):
        return _key_fault(value, path) or _first_fault(value.items(), path, depth + 1)
    return _first_fault(enumerate(value), path, depth + 1)


def _first_fault(children: Iterable[tuple[Any, Any]], path: str, depth: int) -> str | None:
    for step, child in children:
        fault = _fault(child, path + _step(step), depth)
        if fault is not None:
            return fault
    return None


def _key_fault(value: Mapping[Any, Any], path: str) -> str | None:
    for key in value:
        if not isinstance(key, str):
            return f"{_cut(path)} has the key {_cut(repr(key))}, {_kind(key)}; JSON keys are strings"
        fault = _text_fault(key)
        if fault is not None:
            return f"{_cut(path)} has the key {_cut(repr(key))}, which {fault}"
    return None


def _text_fault(text: str) -> str | None:
    if "\x00" in text:
        return "contains a NUL character, which databases cannot store; remove it"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "contains a lone surrogate (half of a UTF-16 pair), which is not text; remove it"
    return None


def _scalar_fault(value: object) -> str | None:
    if type(value) is float:
        return None if math.isfinite(value) else f"is {value}: JSON has neither NaN nor infinity; use null"
    if isinstance(value, int) and not isinstance(value, Enum):
        return None if value in _INTEGERS else "is an integer beyond 64 bits; send it as a string"
    return None if value is None else f"is {_kind(value)}, not JSON; convert it first, for example to text"


def _step(key: object) -> str:
    if isinstance(key, str):
        return f".{key}" if key.isidentifier() else f"[{key!r}]"
    return f"[{key}]"


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _cut(text: str) -> str:
    return text if len(text) <= _PATH_LIMIT else text[:_PATH_LIMIT] + "…"
