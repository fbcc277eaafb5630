"""A reference table in memory, indexed by its key."""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from pipeline.errors import InvalidDefinition
from pipeline.stages.enrichers.lookup_table import LookupTable
from pipeline.stages.text.normal_form import fold

#: Names in every answer that are not columns.
RESERVED_NAMES = ("matched", "score")

# Repeated values, such as a tier, are stored once. Columns with more distinct values than this rarely repeat any.
_MAX_SHARED_VALUES = 10_000
#: Characters of a key shown in messages.
_SHOWN = 80


@dataclass(frozen=True, slots=True, repr=False)
class LookupIndex:
    """The rows of a table by key, in table order.

    Args:
        name: the table's name in messages.
        names: the names of a row's values in the answer.
    """

    name: str
    names: tuple[str, ...]
    rows: dict[str, tuple[Any, ...]]

    @classmethod
    def read(
        cls, table: LookupTable, key: str, fields: Sequence[str] | Mapping[str, str] | None, *, is_folded: bool
    ) -> LookupIndex:
        """Read `table`. Rows with an empty key are skipped, since no item can match them.

        Args:
            is_folded: whether keys match regardless of case, white space, and how a character is written.

        Raises:
            InvalidDefinition: a column is missing, a key occurs twice, or a value cannot be represented in JSON.
        """
        columns = _select_columns(table, key, fields)
        rows: dict[str, tuple[Any, ...]] = {}
        numbers = array("Q")
        shared: dict[str, str] = {}
        for number, (value, *values) in table.rows((key, *columns.values())):
            text = normalize_key(value, is_folded=is_folded)
            if text is None:
                continue
            if text in rows:
                first = numbers[list(rows).index(text)]
                raise InvalidDefinition(_duplicate_key(table, key, str(value), (first, number)))
            numbers.append(number)
            rows[text] = tuple(_share(_to_json(value, table), shared) for value in values)
        return cls(table.name, tuple(columns), rows)


def normalize_key(value: Any, *, is_folded: bool) -> str | None:
    """Return the text that `value` is stored and looked up under, or None if it is empty or NaN. 42.0 becomes "42".

    Args:
        is_folded: whether to ignore case, white space, and how a character is written.
    """
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal) and value == value // 1:
        value = int(value)
    text = str(value)
    text = " ".join(fold(text).split()) if is_folded else unicodedata.normalize("NFC", text)
    return text or None


def _select_columns(table: LookupTable, key: str, fields: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if fields is None:
        fields = [column for column in table.columns if column != key]
    columns = dict(fields) if isinstance(fields, Mapping) else {column: column for column in fields}
    reserved = next((name for name in columns if name in RESERVED_NAMES), None)
    if reserved is not None:
        renamed = f'{{ table_{reserved} = "{columns[reserved]}" }}'
        raise InvalidDefinition(f"{table.name}: {reserved!r} is part of every answer; rename it: fields = {renamed}")
    return columns


def _duplicate_key(table: LookupTable, key: str, value: str, numbers: tuple[int, int]) -> str:
    return (
        f"{table.name}: {key!r} {value[:_SHOWN]!r} occurs in {table.row_unit} {numbers[0]} and in {table.row_unit}"
        f" {numbers[1]}; make keys unique, or set `normalize = false` if they differ only in case, spaces or signs"
    )


def _to_json(value: Any, table: LookupTable) -> Any:
    """Return `value` as a JSON value; decimals, dates, times and UUIDs become text, so that nothing is lost."""
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
        f"{table.name} has a value of type {kind}, which JSON cannot represent; exclude its column with `fields`"
    )


def _share(value: Any, shared: dict[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    return shared.setdefault(value, value) if len(shared) < _MAX_SHARED_VALUES else shared.get(value, value)
