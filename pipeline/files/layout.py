"""Which values of a result are written, and under which names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidArgument, escape_braces

PAYLOAD = "payload"
#: The fields of a result.
FIELDS = (
    *("batch_id", "item_id", "key", "seq", "state", "label", "confidence", "classification", "enrichment", "error"),
    *("attempts", "timings", PAYLOAD),
)
_OBJECTS = frozenset({"classification", "enrichment", "error", "timings", PAYLOAD})


@dataclass(frozen=True, slots=True)
class Layout:
    """How a result becomes a row.

    Args:
        columns: the values to write, in this order, such as `label` or `enrichment.language.language`; empty: all.
        is_flat: write each value of an object by itself, under its path.
        with_payload: write the payload as well. Naming it in `columns` has the same effect.
    """

    columns: tuple[str, ...] = ()
    is_flat: bool = False
    with_payload: bool = False

    @property
    def needs_payload(self) -> bool:
        return self.with_payload or any(column.partition(".")[0] == PAYLOAD for column in self.columns)

    def row(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of a result by their names."""
        if self.columns:
            return {column: _value_at(result, column) for column in self.columns}
        return dict(_flatten(result, "")) if self.is_flat else result


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the columns in a text such as `key,label,enrichment.language.language`.

    Raises:
        InvalidArgument: a column is no field of a result, or comes twice. The argument is `columns`.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        outer, dot, _ = name.partition(".")
        if outer not in FIELDS or (dot and outer not in _OBJECTS):
            known = ", ".join(FIELDS)
            raise InvalidArgument(
                "{0}: " + escape_braces(f"a result has no {name!r}{hint(outer, FIELDS)}; it has {known}"), "columns"
            )
        if names.count(name) > 1:
            raise InvalidArgument("{0}: " + escape_braces(f"{name!r} comes twice"), "columns")
    return names


def _flatten(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        if isinstance(each, Mapping) and each:
            yield from _flatten(each, f"{prefix}{name}.")
        elif each is not None or f"{prefix}{name}" not in _OBJECTS:
            # An object that is missing has no values; its own name would be one more column.
            yield f"{prefix}{name}", each


def _value_at(value: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path; None if there is none. Names may contain dots, as labels may."""
    if path in value:
        return value[path]
    name, dot, rest = path.partition(".")
    while dot:
        inner = value.get(name)
        found = _value_at(inner, rest) if isinstance(inner, Mapping) else None
        if found is not None:
            return found
        more, dot, rest = rest.partition(".")
        name = f"{name}.{more}"
    return None
