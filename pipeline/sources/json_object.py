"""One JSON object, strictly: no value is lost or changed silently, but for decimals beyond a double's digits."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from pipeline.domain import payload
from pipeline.errors import InvalidInput
from pipeline.sources.input_position import InputPosition

_WHITESPACE = b" \t\r\n"
_KINDS = {list: "an array", str: "a string", bool: "true or false", int: "a number", float: "a number"}
_SHOWN = 60


def parse(raw: bytes, place: InputPosition, max_bytes: int) -> dict[str, Any]:
    """Return the object that `raw`, found at `place`, holds; `max_bytes` bounds it as compact JSON.

    Raises:
        InvalidInput: not JSON, not an object, or no payload that can be stored unchanged.
        UnicodeDecodeError: not UTF-8.
    """
    try:
        value = orjson.loads(raw)
    except ValueError:
        return _object(_parse_strictly(raw, place), max_bytes)[0]
    found, text = _object(value, max_bytes)
    # The same bytes but for white space: no key was given twice and no number rounded, which orjson would not say.
    if text.translate(None, _WHITESPACE) != raw.translate(None, _WHITESPACE):
        _parse_strictly(raw, place)
    return found


def _object(value: Any, max_bytes: int) -> tuple[dict[str, Any], bytes]:
    if not isinstance(value, dict):
        raise InvalidInput(f'{_KINDS.get(type(value), "null")}, not an object; an item is like {{"text": "…"}}')
    return value, payload.encode_bytes(value, max_bytes=max_bytes)


def _parse_strictly(raw: bytes, place: InputPosition) -> Any:
    text = raw.decode().rstrip()
    try:
        return _STRICT.decode(text)
    except json.JSONDecodeError as error:
        if error.lineno == 1:
            where = f"column {error.colno + place.column}"
        else:
            where = f"line {place.line + error.lineno - 1}, column {error.colno}"
        raise InvalidInput(f"invalid JSON at {where}: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except RecursionError:
        raise InvalidInput(f"payload is nested deeper than {payload.MAX_DEPTH} levels") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidInput(f"the key {twice[:_SHOWN]!r} appears twice in one object; keep one")
    return found


def _exact_integer(digits: str) -> int:
    # The longest has 20 characters; int() itself refuses thousands of digits with a message of its own.
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise InvalidInput(f"{digits[:_SHOWN]} is an integer beyond 64 bits; send it as a string")
    return number


def _no_constant(name: str) -> NoReturn:
    raise InvalidInput(f"{name} is not JSON; use null or leave the field out")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_exact_integer, parse_constant=_no_constant)
