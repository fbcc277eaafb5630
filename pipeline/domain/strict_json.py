"""Parses JSON so that nothing is lost or changed without an error, except digits that a double does not have."""

from __future__ import annotations

import json
from typing import Any, NoReturn

#: Characters of a key or number shown in messages.
_SHOWN = 60


class LossyJson(ValueError):
    """The text is JSON, or nearly, but would not be read as it was meant. The message says why."""


def parse_strictly(text: str) -> Any:
    """Return the value of a JSON text. Integers of any size are exact.

    Raises:
        LossyJson: an object has a key twice, a number is NaN or infinite, or it is nested too deep to be read.
        json.JSONDecodeError: the text is not JSON.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise LossyJson("it is nested too deep") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise LossyJson(f"the key {duplicate[:_SHOWN]!r} appears twice in one object")
    return value


def _exact_integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        # Python reads no numbers of thousands of digits.
        raise LossyJson(f"a number has {len(digits):,} digits") from None


def _finite_number(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise LossyJson(f"the number {digits[:_SHOWN]} is too large")
    return number


def _reject_constant(name: str) -> NoReturn:
    raise LossyJson(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_exact_integer,
    parse_float=_finite_number,
    parse_constant=_reject_constant,
)
