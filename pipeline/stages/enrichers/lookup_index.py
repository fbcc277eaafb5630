"""A reference table in memory, by its key."""

from __future__ import annotations

import datetime as dt
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from pipeline.errors import InvalidDefinition
from pipeline.stages.enrichers.lookup_table import LookupTable
from pipeline.stages.text.text_folding import composed, folded

#: Names in the answer that are not columns.
RESERVED = ("matched", "score")

# Repeated values, such as a tier, are kept once; a column with more different ones is none of that kind.
_MOST_SHARED = 10_000
#: Characters of a key that a message repeats.
_SHOWN = 80


@dataclass(frozen=True, slots=True, repr=False)
class Index:
    """Rows by key, in the order of the table; `names` are those of a row's values in the answer."""

    name: str
    names: tuple[str, ...]
    rows: dict[str, tuple[Any, ...]]

    @classmethod
    def read(
        cls, table: LookupTable, key: str, fields: Sequence[str] | Mapping[str, str] | None, *, is_folded: bool
    ) -> Index:
        """Read `table`. Rows with an empty key are left out: nothing can name them.

        Raises:
            InvalidDefinition: a column is missing, a key stands twice, or a value cannot be written as JSON.
        """
        columns = _columns(table, key, fields)
        rows: dict[str, tuple[Any, ...]] = {}
        numbers = array("Q")
        shared: dict[str, str] = {}
        for number, (value, *values) in table.rows((key, *columns.values())):
            text = key_of(value, is_folded=is_folded)
            if text is None:
                continue
            if text in rows:
                first = numbers[list(rows).index(text)]
                raise InvalidDefinition(_twice(table, key, str(value), (first, number)))
            numbers.append(number)
            rows[text] = tuple(_shared(_plain(value, table), shared) for value in values)
        return cls(table.name, tuple(columns), rows)


def key_of(value: Any, *, is_folded: bool) -> str | None:
    """Return the text by which `value` is found, or None where it is empty or NaN. The number 42.0 is found as "42"."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal) and value == value // 1:
        value = int(value)
    text = str(value)
    text = " ".join(folded(text).split()) if is_folded else composed(text)
    return text or None


def _columns(table: LookupTable, key: str, fields: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if fields is None:
        fields = [column for column in table.columns if column != key]
    columns = dict(fields) if isinstance(fields, Mapping) else {column: column for column in fields}
    taken = next((name for name in columns if name in RESERVED), None)
    if taken is not None:
        renamed = f'{{ table_{taken} = "{columns[taken]}" }}'
        raise InvalidDefinition(f"{table.name}: {taken!r} is part of every answer; rename it: fields = {renamed}")
    return columns


def _twice(table: LookupTable, key: str, value: str, numbers: tuple[int, int]) -> str:
    return (
        f"{table.name}: {key!r} {value[:_SHOWN]!r} stands in {table.counted} {numbers[0]} and in {table.counted}"
        f" {numbers[1]}; make keys unique, or set `normalize = false` if they differ in case or spaces only"
    )


def _plain(value: Any, table: LookupTable) -> Any:
    """Return `value` as JSON holds it: a decimal, a time, an id as text, so that nothing of it is lost."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float | list | dict):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    kind = type(value).__name__
    raise InvalidDefinition(
        f"{table.name} has a value of type {kind}, which JSON cannot hold; leave it out by `fields`"
    )


def _shared(value: Any, shared: dict[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    return shared.setdefault(value, value) if len(shared) < _MOST_SHARED else shared.get(value, value)
