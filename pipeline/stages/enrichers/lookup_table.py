"""Reference tables: CSV and Parquet files, SQL databases, read once from beginning to end."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog.extra import missing

_ROWS_AT_ONCE = 10_000

Rows = Iterator[tuple[int, tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class LookupTable:
    """An open table.

    Args:
        name: for messages.
        columns: names, in order.
        counted: what the number of a row counts: `line` of a file or `row`, both from 1.
        read: gives the number and all values of each row; can be called once.
    """

    name: str
    columns: tuple[str, ...]
    counted: str
    read: Callable[[], Rows]

    def rows(self, wanted: tuple[str, ...]) -> Rows:
        """Yield the number of each row and its values of the `wanted` columns.

        Raises:
            InvalidDefinition: there is no such column.
        """
        at = [self._position(column) for column in wanted]
        pick = itemgetter(*at) if len(at) > 1 else lambda values: (values[at[0]],)
        return ((number, pick(values)) for number, values in self.read())

    def _position(self, column: str) -> int:
        if column not in self.columns:
            near = hint(column, self.columns) or f"; it has {', '.join(map(repr, self.columns[:20]))}"
            raise InvalidDefinition(f"{self.name} has no column {column!r}{near}")
        return self.columns.index(column)


@contextmanager
def open_file(path: Path, delimiter: str) -> Iterator[LookupTable]:
    """Open a `.parquet` file, or any other as CSV in UTF-8 with a header.

    Raises:
        InvalidDefinition: the file is missing, damaged, or of another format.
    """
    if not path.is_file():
        raise InvalidDefinition(f"table {path} is not there; paths are taken from the definition's folder")
    if path.suffix.lower() == ".parquet":
        yield _parquet(path)
        return
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield _csv(path.name, csv.reader(file, delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        raise InvalidDefinition(
            f"table {path.name} is not UTF-8 (byte {error.start} of the file); save it as UTF-8"
        ) from error


@contextmanager
def open_database(url: sa.URL, statement: sa.Executable) -> Iterator[LookupTable]:
    """Run a query; it is never committed.

    Raises:
        InvalidDefinition: the database or the query refuses; the message holds no credentials.
    """
    name = f"database {url.get_backend_name()} {url.database or ''}".rstrip()
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        # SQLite would make an empty one.
        raise InvalidDefinition(f"{name} is not there; paths are taken from the definition's folder")
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True)
        with engine.connect().execution_options(yield_per=_ROWS_AT_ONCE) as connection:
            result = connection.execute(statement)
            columns = tuple(result.keys())
            _refuse_twins(name, columns)
            yield LookupTable(
                name, columns, "row", lambda: ((number, tuple(row)) for number, row in enumerate(result, 1))
            )
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).partition("\n")[0]
        raise InvalidDefinition(f"{name} cannot be read: {reason}") from None


def _csv(name: str, reader: Any) -> LookupTable:
    lines = _lines(name, reader)
    _, columns = next(lines, (0, ()))
    if not columns:
        raise InvalidDefinition(f"table {name} is empty; its first line names the columns")
    _refuse_twins(name, columns)
    return LookupTable(f"table {name}", columns, "line", lambda: _even(name, columns, lines))


def _lines(name: str, reader: Any) -> Rows:
    try:
        for values in reader:
            # A blank line has no values.
            if values:
                yield reader.line_num, tuple(values)
    except csv.Error as error:
        raise InvalidDefinition(f"table {name}, line {reader.line_num}: {error}") from error


def _even(name: str, columns: tuple[str, ...], lines: Rows) -> Rows:
    for number, values in lines:
        if len(values) != len(columns):
            found = f"{len(values)} values for {len(columns)} columns"
            raise InvalidDefinition(f"table {name}, line {number}: {found}; check quotes and `delimiter`")
        yield number, values


def _parquet(path: Path) -> LookupTable:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise missing("parquet", "lookup", error) from error
    try:
        file = ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise InvalidDefinition(f"table {path.name} is no Parquet file or damaged") from error
    columns = tuple(file.schema_arrow.names)
    _refuse_twins(path.name, columns)
    batches = (
        zip(*(column.to_pylist() for column in batch.columns), strict=True)
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE)
    )
    return LookupTable(f"table {path.name}", columns, "row", lambda: enumerate(chain.from_iterable(batches), 1))


def _refuse_twins(name: str, columns: tuple[str, ...]) -> None:
    twins = sorted({column for column in columns if columns.count(column) > 1})
    if twins:
        raise InvalidDefinition(f"table {name} has the column {twins[0]!r} more than once; name columns apart")
