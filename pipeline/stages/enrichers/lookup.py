"""`use = "lookup"`: fields of the row in a reference table that matches a value of the item.

The answer: `{"matched": true, "score": 100.0, "name": "Acme", "tier": "gold"}`, or `{"matched": false}`. The table is
read once, when a worker first uses the definition. A million rows with a key and two short fields take about 300 MB.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import ConfigDict, Field, field_validator, model_validator

from pipeline.domain.item import WorkItem
from pipeline.domain.variables import expand_variables
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.catalog.missing_extra import missing_extra
from pipeline.stages.catalog.spec import EnrichSpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.enrichers.fuzzy_match import FuzzyIndex
from pipeline.stages.enrichers.lookup_index import LookupIndex, normalize_key
from pipeline.stages.enrichers.lookup_table import LookupTable, open_database, open_file
from pipeline.stages.text.json_path import ABSENT, get_field, parse_path

_SUFFIXES = (".csv", ".tsv", ".parquet")


class Spec(EnrichSpec):
    """`[[enrich]]` with `use = "lookup"`."""

    # An invalid `database` may contain a password.
    model_config = ConfigDict(hide_input_in_errors=True)

    #: A .csv, .tsv or .parquet file, relative to the definition's folder; with `database`, a table in it.
    table: str | None = Field(default=None, min_length=1)
    #: SQLAlchemy URL; `${NAME}` is read from the worker's environment, so that passwords stay there.
    database: str | None = Field(default=None, min_length=1, repr=False)
    #: A SELECT statement, instead of `table`; only with `database`.
    query: str | None = Field(default=None, min_length=1)
    #: Separator of the values in a CSV file.
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    #: Column of the table that is searched.
    key: str = Field(min_length=1)
    #: Payload field whose value is looked up; dots reach nested fields. "@label" and "@key" are the item's own.
    on: str = Field(min_length=1)
    #: Columns to return, or new name = column; defaults to all columns except `key`.
    fields: tuple[str, ...] | dict[str, str] | None = Field(default=None, min_length=1)
    match: Literal["exact", "fuzzy"] = "exact"
    #: Whether to ignore differences in case, in white space, and in how a character is written.
    normalize: bool = True
    #: Lowest similarity of a fuzzy match, from 0 to 100.
    min_score: float = Field(default=90, gt=0, le=100)
    #: What happens to an item without a matching row: "null" answers `{"matched": false}`, "dead" makes it dead.
    missing: Literal["null", "dead"] = "null"

    @field_validator("on")
    @classmethod
    def _on_is_known(cls, on: str) -> str:
        if on.startswith("@") and on not in ("@label", "@key"):
            raise ValueError(f"{on!r} is unknown; write '@label', '@key' or the name of a payload field")
        if not on.startswith("@"):
            parse_path(on)
        return on

    @model_validator(mode="after")
    def _has_one_source(self) -> Spec:
        if self.database is None:
            if self.table is None or not self.table.lower().endswith(_SUFFIXES):
                raise ValueError(f"`table` must be a file ending in {', '.join(_SUFFIXES)}, or give `database`")
            if self.query is not None:
                raise ValueError("`query` needs `database`")
        elif (self.table is None) == (self.query is None):
            raise ValueError("with `database`, give either `table` or `query`")
        return self


def files(spec: Spec) -> tuple[str, ...]:
    """Return the table's path. A database is not pinned; it is read when a worker first uses the definition."""
    return (spec.table,) if spec.database is None and spec.table is not None else ()


def build(spec: Spec, folder: Path, environ: Mapping[str, str] = os.environ) -> Step:
    """Read the table and build the enricher.

    Raises:
        InvalidDefinition: the table cannot be read, lacks a column or has duplicate keys; or an extra is not installed.
    """
    with _open_table(spec, folder, environ) as table:
        index = LookupIndex.read(table, spec.key, spec.fields, is_folded=spec.normalize)
    fuzzy_index = None
    if spec.match == "fuzzy":
        try:
            fuzzy_index = FuzzyIndex(index.rows, spec.min_score)
        except ImportError as error:
            raise missing_extra("fuzzy", "lookup", error) from error
    enricher = _LookupEnricher(spec, index, fuzzy_index, tuple(index.rows) if fuzzy_index else ())
    # A fuzzy search takes milliseconds, so a call gets few items.
    max_items = 32 if fuzzy_index else 256
    name = spec.name or "lookup"
    return Step(name, enricher.enrich, Mode.INLINE, True, timeout_seconds=spec.timeout_seconds, max_items=max_items)


@dataclass(frozen=True, slots=True, repr=False)
class _LookupEnricher:
    spec: Spec
    index: LookupIndex
    fuzzy_index: FuzzyIndex | None
    keys: tuple[str, ...]

    def enrich(self, items: list[WorkItem]) -> list[dict[str, Any] | Permanent]:
        return [self._enrich_item(item) for item in items]

    def _enrich_item(self, item: WorkItem) -> dict[str, Any] | Permanent:
        value = _get_value(item, self.spec.on)
        if isinstance(value, dict | list):
            return Permanent(f"{self.spec.on!r} is of type {type(value).__name__}; a lookup needs text or a number")
        key = normalize_key(value, is_folded=self.spec.normalize)
        answer = self._find_row(key) if key is not None else None
        if answer is not None:
            return answer
        if self.spec.missing == "dead":
            reason = "is missing or empty" if key is None else "has no match"
            return Permanent(f"no row in {self.index.name}: the item's {self.spec.on!r} {reason}")
        return {"matched": False}

    def _find_row(self, key: str) -> dict[str, Any] | None:
        row = self.index.rows.get(key)
        if row is not None:
            return self._match(100.0, row)
        nearest = self.fuzzy_index.find_nearest(key) if self.fuzzy_index else None
        if nearest is None:
            return None
        position, score = nearest
        return self._match(round(score, 1), self.index.rows[self.keys[position]])

    def _match(self, score: float, row: tuple[Any, ...]) -> dict[str, Any]:
        return {"matched": True, "score": score, **dict(zip(self.index.names, row, strict=True))}


def _get_value(item: WorkItem, on: str) -> Any:
    if on == "@label":
        return item.label
    if on == "@key":
        return item.key
    value = get_field(item.payload, on)
    return None if value is ABSENT else value


def _open_table(spec: Spec, folder: Path, environ: Mapping[str, str]) -> AbstractContextManager[LookupTable]:
    if spec.database is None:
        path = folder / str(spec.table)
        return open_file(path, spec.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ","))
    try:
        url = sa.make_url(expand_variables(spec.database, "lookup `database`", environ))
    except sa.exc.ArgumentError:
        raise InvalidDefinition("lookup `database` is not a URL; write it like 'sqlite:///ref.db'") from None
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(folder / url.database))
    return open_database(url, _build_statement(spec))


def _build_statement(spec: Spec) -> sa.Executable:
    if spec.query is not None:
        # A colon in the query is a cast or part of a string, never a parameter.
        return sa.text(spec.query.replace(":", "\\:"))
    schema, _, name = str(spec.table).rpartition(".")
    return sa.select(sa.literal_column("*")).select_from(sa.table(name, schema=schema or None))
