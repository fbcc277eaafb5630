"""Paths into JSON values, such as `company.domain` and `results[0].name`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent

#: Returned for a value that does not exist; distinct from a JSON null.
ABSENT: Final = object()

#: The field names and list positions that lead to a value.
JsonPath = tuple[str | int, ...]


def parse_path(path: str) -> JsonPath:
    """Parse the text of a path.

    Raises:
        ValueError: a part of the path is empty, or its brackets do not contain a number.
    """
    steps: list[str | int] = []
    for part in path.split("."):
        name, bracket, rest = part.partition("[")
        if name:
            steps.append(name)
        if bracket:
            steps.extend(_parse_indexes(rest, path))
        if not name and not bracket:
            raise ValueError(f"path {path!r} has an empty part; write it like 'data.company[0].name'")
    return tuple(steps)


def get_value(value: Any, path: Sequence[str | int]) -> Any:
    """Return the value at `path` inside `value`, or `ABSENT`."""
    for step in path:
        has_field = isinstance(value, dict) and isinstance(step, str) and step in value
        if not has_field and not (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            return ABSENT
        value = value[step]
    return value


def get_field(payload: dict[str, Any], path: str) -> Any:
    """Return a field of a payload, or `ABSENT`. A field whose own name has dots takes precedence over a nested one."""
    return payload[path] if path in payload else get_value(payload, parse_path(path))


def get_text(item: WorkItem, field: str | None) -> str:
    """Return the text that a stage reads: the item's text, or a payload field; null counts as empty.

    Raises:
        Permanent: the payload has no such field, or the field is not text.
    """
    if field is None:
        return item.text
    value = get_field(item.payload, field)
    if value is ABSENT:
        raise Permanent(f"the payload has no field {field!r}")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Permanent(f"field {field!r} of the payload is of type {type(value).__name__}; it must be text")
    return value


def _parse_indexes(rest: str, path: str) -> list[int]:
    inside = rest.removesuffix("]").split("][")
    if not rest.endswith("]") or not all(part.isascii() and part.isdigit() for part in inside):
        raise ValueError(f"path {path!r}: brackets must contain a position counted from 0, like 'results[0]'")
    return [int(part) for part in inside]
