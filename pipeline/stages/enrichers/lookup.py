"""`use = "lookup"`: fields of the row of a reference table whose key an item names.

The answer: `{"matched": true, "score": 100.0, "name": "Acme", "tier": "gold"}`, or `{"matched": false}`. The table is
read once, when the worker first meets the definition; a million rows of a key and two short fields take about 300 MB.
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
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.catalog.environment import expand
from pipeline.stages.catalog.extra import missing
from pipeline.stages.catalog.spec import EnrichSpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.enrichers.fuzzy_match import Neighbours
from pipeline.stages.enrichers.lookup_index import Index, key_of
from pipeline.stages.enrichers.lookup_table import LookupTable, open_database, open_file
from pipeline.stages.text.json_path import ABSENT, field_of, parse

_SUFFIXES = (".csv", ".tsv", ".parquet")


class Spec(EnrichSpec):
    """`[[enrich]]` with `use = "lookup"`."""

    # A refused `database` may hold a password.
    model_config = ConfigDict(hide_input_in_errors=True)

    #: A .csv, .tsv or .parquet file, from the definition's folder; with `database`, a table of it.
    table: str | None = Field(default=None, min_length=1)
    #: SQLAlchemy URL; `${NAME}` is taken from the environment of the worker, so that passwords stay there.
    database: str | None = Field(default=None, min_length=1, repr=False)
    #: A SELECT, instead of `table`, with `database`.
    query: str | None = Field(default=None, min_length=1)
    #: Between the values of a CSV file.
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    #: Column of the table that is searched.
    key: str = Field(min_length=1)
    #: Payload field whose value is looked up; dots go deeper. "@label" and "@key" are the item's own.
    on: str = Field(min_length=1)
    #: Columns to answer, or new name = column; default: all but `key`.
    fields: tuple[str, ...] | dict[str, str] | None = Field(default=None, min_length=1)
    match: Literal["exact", "fuzzy"] = "exact"
    #: Without differences of case and white space.
    normalize: bool = True
    #: Least likeness of a fuzzy match, from 0 to 100.
    min_score: float = Field(default=90, gt=0, le=100)
    #: What an item without a row is: answered with `{"matched": false}`, or dead.
    missing: Literal["null", "dead"] = "null"

    @field_validator("on")
    @classmethod
    def _is_known(cls, on: str) -> str:
        if on.startswith("@") and on not in ("@label", "@key"):
            raise ValueError(f"{on!r} is none; write '@label', '@key' or the name of a payload field")
        if not on.startswith("@"):
            parse(on)
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
    """Return the table's path; a database is not pinned and is read as it is then."""
    return (spec.table,) if spec.database is None and spec.table is not None else ()


def build(spec: Spec, folder: Path, environ: Mapping[str, str] = os.environ) -> Step:
    """Read the table and return the enricher.

    Raises:
        InvalidDefinition: the table cannot be read, lacks a column, or has a key twice; or an extra is not installed.
    """
    with _opened(spec, folder, environ) as table:
        index = Index.read(table, spec.key, spec.fields, is_folded=spec.normalize)
    neighbours = None
    if spec.match == "fuzzy":
        try:
            neighbours = Neighbours(index.rows, spec.min_score)
        except ImportError as error:
            raise missing("fuzzy", "lookup", error) from error
    lookup = _Lookup(spec, index, neighbours, tuple(index.rows) if neighbours else ())
    # A fuzzy search takes milliseconds; few of them together keep one call short.
    most = 32 if neighbours else 256
    name = spec.name or "lookup"
    return Step(name, lookup.answers, Mode.INLINE, True, timeout_seconds=spec.timeout_seconds, max_items=most)


@dataclass(frozen=True, slots=True, repr=False)
class _Lookup:
    spec: Spec
    index: Index
    neighbours: Neighbours | None
    keys: tuple[str, ...]

    def answers(self, items: list[WorkItem]) -> list[dict[str, Any] | Permanent]:
        return [self._answer(item) for item in items]

    def _answer(self, item: WorkItem) -> dict[str, Any] | Permanent:
        value = _value(item, self.spec.on)
        if isinstance(value, dict | list):
            return Permanent(f"{self.spec.on!r} is of type {type(value).__name__}; a lookup needs text or a number")
        key = key_of(value, is_folded=self.spec.normalize)
        found = self._find(key) if key is not None else None
        if found is not None:
            return found
        if self.spec.missing == "dead":
            reason = "is absent or empty" if key is None else "is not in it"
            return Permanent(f"no row of {self.index.name}: the item's {self.spec.on!r} {reason}")
        return {"matched": False}

    def _find(self, key: str) -> dict[str, Any] | None:
        row = self.index.rows.get(key)
        if row is not None:
            return self._matched(100.0, row)
        near = self.neighbours.nearest(key) if self.neighbours else None
        return self._matched(round(near[1], 1), self.index.rows[self.keys[near[0]]]) if near else None

    def _matched(self, score: float, row: tuple[Any, ...]) -> dict[str, Any]:
        return {"matched": True, "score": score, **dict(zip(self.index.names, row, strict=True))}


def _value(item: WorkItem, on: str) -> Any:
    if on == "@label":
        return item.label
    if on == "@key":
        return item.key
    value = field_of(item.payload, on)
    return None if value is ABSENT else value


def _opened(spec: Spec, folder: Path, environ: Mapping[str, str]) -> AbstractContextManager[LookupTable]:
    if spec.database is None:
        path = folder / str(spec.table)
        return open_file(path, spec.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ","))
    try:
        url = sa.make_url(expand(spec.database, "lookup `database`", environ))
    except sa.exc.ArgumentError:
        raise InvalidDefinition("lookup `database` is no URL; write it like 'sqlite:///ref.db'") from None
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(folder / url.database))
    return open_database(url, _statement(spec))


def _statement(spec: Spec) -> sa.Executable:
    if spec.query is not None:
        # A colon in a query is a cast or part of a text, never a parameter.
        return sa.text(spec.query.replace(":", "\\:"))
    schema, _, name = str(spec.table).rpartition(".")
    return sa.select(sa.literal_column("*")).select_from(sa.table(name, schema=schema or None))
