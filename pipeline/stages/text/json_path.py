"""Where a value stands inside JSON: `company.domain`, `results[0].name`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent

#: What `look` answers where nothing stands; distinct from a JSON null.
ABSENT: Final = object()

Steps = tuple[str | int, ...]


def parse(path: str) -> Steps:
    """Return the steps of `path`.

    Raises:
        ValueError: the path is empty or its brackets do not hold a number.
    """
    steps: list[str | int] = []
    for part in path.split("."):
        name, bracket, rest = part.partition("[")
        if name:
            steps.append(name)
        if bracket:
            steps.extend(_indexes(rest, path))
        if not name and not bracket:
            raise ValueError(f"path {path!r} has an empty part; write it like 'data.company[0].name'")
    return tuple(steps)


def look(value: Any, steps: Sequence[str | int]) -> Any:
    """Return what stands at `steps` below `value`, or `ABSENT`."""
    for step in steps:
        has_field = isinstance(value, dict) and isinstance(step, str) and step in value
        if not has_field and not (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            return ABSENT
        value = value[step]
    return value


def field_of(payload: dict[str, Any], path: str) -> Any:
    """Return a field of a payload, or `ABSENT`. A field whose own name has dots goes before a nested one."""
    return payload[path] if path in payload else look(payload, parse(path))


def text_of(item: WorkItem, field: str | None) -> str:
    """Return the text a stage reads: the item's own, or that of a payload field; null counts as empty.

    Raises:
        Permanent: the payload has no such field, or it holds no text.
    """
    if field is None:
        return item.text
    value = field_of(item.payload, field)
    if value is ABSENT:
        raise Permanent(f"the payload has no field {field!r}")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Permanent(f"field {field!r} of the payload is of type {type(value).__name__}; text is needed")
    return value


def _indexes(rest: str, path: str) -> list[int]:
    inside = rest.removesuffix("]").split("][")
    if not rest.endswith("]") or not all(part.isascii() and part.isdigit() for part in inside):
        raise ValueError(f"path {path!r}: brackets hold a position counted from 0, like 'results[0]'")
    return [int(part) for part in inside]
