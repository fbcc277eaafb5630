"""Parses a JSON object strictly: no value is lost or changed, except decimals with more digits than a double has."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from pipeline.domain import payload
from pipeline.errors import InvalidInput
from pipeline.sources.text.input_position import InputPosition

WHITESPACE = b" \t\r\n"
_TYPE_NAMES = {list: "an array", str: "a string", bool: "true or false", int: "a number", float: "a number"}
#: Characters of a key or number shown in messages.
_SHOWN = 60


def parse_object(raw: bytes, position: InputPosition, max_bytes: int) -> tuple[dict[str, Any], bytes]:
    """Parse the JSON object in `raw`. Return it, and its compact JSON.

    Args:
        position: where `raw` begins in the input, for messages.
        max_bytes: size limit of the object as compact JSON.

    Raises:
        InvalidInput: it is not JSON, not an object, or cannot be stored unchanged as a payload.
        UnicodeDecodeError: it is not UTF-8.
    """
    try:
        value = orjson.loads(raw)
    except ValueError:
        return _check_object(_parse_strictly(raw, position), max_bytes, is_parsed=False)
    item, encoded = _check_object(value, max_bytes, is_parsed=True)
    # orjson accepts duplicate keys and rounds large numbers without an error. If the bytes are the same except for
    # white space, neither happened.
    if encoded.translate(None, WHITESPACE) != raw.translate(None, WHITESPACE):
        _parse_strictly(raw, position)
    return item, encoded


def _check_object(value: Any, max_bytes: int, *, is_parsed: bool) -> tuple[dict[str, Any], bytes]:
    if not isinstance(value, dict):
        name = _TYPE_NAMES.get(type(value), "null")
        raise InvalidInput(f'{name}, not an object; an item looks like {{"text": "…"}}')
    return value, payload.encode_bytes(value, max_bytes=max_bytes, is_parsed=is_parsed)


def _parse_strictly(raw: bytes, position: InputPosition) -> Any:
    text = raw.decode().rstrip()
    try:
        return _STRICT_DECODER.decode(text)
    except json.JSONDecodeError as error:
        if error.lineno == 1:
            where = f"column {error.colno + position.column}"
        else:
            where = f"line {position.line + error.lineno - 1}, column {error.colno}"
        raise InvalidInput(f"invalid JSON at {where}: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except RecursionError:
        raise InvalidInput(f"payload is nested deeper than {payload.MAX_DEPTH} levels") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidInput(f"the key {duplicate[:_SHOWN]!r} appears twice in one object; keep one")
    return value


def _exact_integer(digits: str) -> int:
    # The longest valid integer has 20 characters. int() itself rejects thousands of digits, with a different message.
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise InvalidInput(f"{digits[:_SHOWN]} is an integer beyond 64 bits; send it as a string")
    return number


def _reject_constant(name: str) -> NoReturn:
    raise InvalidInput(f"{name} is not JSON; use null or omit the field")


_STRICT_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_int=_exact_integer, parse_constant=_reject_constant
)
