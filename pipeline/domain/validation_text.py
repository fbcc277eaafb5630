"""What was expected where a value does not fit, in words of people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: By the type of pydantic's error; `{…}` are what it knows of the bound.
_WORDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a number that is not infinite",
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
    "string_too_long": "a text of at most {max_length:,} characters",
    "string_type": "a text",
    "tuple_type": "a list",
}


def expected(details: Mapping[str, Any]) -> str:
    """Return what an error of pydantic says, as `expected …` where the kind of value is the matter."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "string_too_short":
        return "expected a text that is not empty"
    if kind == "too_short":
        return "expected at least one, not an empty list"
    words = _WORDS.get(kind)
    if words is not None:
        return f"expected {words.format(**context)}"
    message: str = details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message[:1].lower() + message[1:]
