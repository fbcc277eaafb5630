"""Turns pydantic's validation errors into plain English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What was expected, by the type of pydantic's error; `{…}` are filled in from its context.
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_type": "a table",
    "path_type": "a path",
    "string_too_long": "text of at most {max_length:,} characters",
    "string_type": "text",
    "tuple_type": "a list",
}


def describe_error(details: Mapping[str, Any]) -> str:
    """Return what a pydantic error says, as `expected …` if the value has the wrong type or range."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "string_too_short":
        return "expected text that is not empty"
    if kind == "too_short":
        return "expected at least one, not an empty list"
    expected = _EXPECTED.get(kind)
    if expected is not None:
        return f"expected {expected.format(**context)}"
    message: str = details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message[:1].lower() + message[1:]
