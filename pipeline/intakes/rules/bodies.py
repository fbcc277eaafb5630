"""What the bodies of messages must be to become items: one JSON object, one for each line, or some below a field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson


@dataclass(frozen=True, slots=True)
class MessageFormat:
    """How items stand in a body.

    Args:
        has_lines: each line of a body is one JSON object; blank lines are left out.
        items: the field that holds an item, or a list of items; None: the object itself is one.
    """

    has_lines: bool = False
    items: str | None = None

    def read(self, body: bytes) -> Iterator[Part]:
        """Yield the items of a body, and what in it is none."""
        if not self.has_lines:
            yield from self._read_object(body, "")
            return
        lines = [(number, line) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
        for number, line in lines:
            yield from self._read_object(line, f"line {number}: ")
        if not lines:
            yield Part(body, None, "it has no lines")

    def _read_object(self, text: bytes, place: str) -> Iterator[Part]:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield Part(text, None, f"{place}it is not JSON: {error}")
            return
        if not isinstance(value, dict):
            unit = "a line" if self.has_lines else "a message"
            yield Part(text, None, f"{place}it is {_kind(value)}; {unit} is one JSON object")
        elif self.items is None:
            yield Part(text, value, place)
        else:
            yield from self._read_field(text, value, place)

    def _read_field(self, text: bytes, value: dict[str, Any], place: str) -> Iterator[Part]:
        assert self.items is not None
        if self.items not in value:
            yield Part(text, None, f"{place}it has no field {self.items!r}, where --items looks for items")
            return
        inner = value[self.items]
        several = inner if isinstance(inner, list) else [inner]
        if not several:
            yield Part(text, None, f"{place}its field {self.items!r} is an empty list")
        for number, each in enumerate(several, 1):
            where = f"{place}item {number}: " if isinstance(inner, list) else place
            if isinstance(each, dict):
                yield Part(text if len(several) == 1 else orjson.dumps(each), each, where)
            else:
                reason = f"{where}its field {self.items!r} holds {_kind(each)}; an item is one JSON object"
                yield Part(text, None, reason)


class Part(NamedTuple):
    """One item of a body, or what should have been one.

    Args:
        text: its bytes.
        payload: None: it is no item.
        reason: why not; of an item, where it stands in its message, for what may be wrong with it.
    """

    text: bytes
    payload: dict[str, Any] | None
    reason: str


def _kind(value: object) -> str:
    kinds = {list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
