"""Reference tables from CSV files, Parquet files and SQL databases, read once from start to end."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from pipeline.domain.did_you_mean import hint, list_names
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog.missing_extra import missing_extra

_ROWS_PER_FETCH = 10_000

Rows = Iterator[tuple[int, tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class LookupTable:
    """An open table.

    Args:
        name: its name in messages.
        columns: the column names, in order.
        row_unit: what row numbers count: "line" in a file, or "row"; both start at 1.
        read: yields the number and all values of each row; can be called once.
    """

    name: str
    columns: tuple[str, ...]
    row_unit: str
    read: Callable[[], Rows]

    def rows(self, columns: tuple[str, ...]) -> Rows:
        """Yield each row's number and its values in `columns`.

        Raises:
            InvalidDefinition: a column does not exist.
        """
        indexes = [self._find_column(column) for column in columns]
        select = itemgetter(*indexes) if len(indexes) > 1 else lambda values: (values[indexes[0]],)
        return ((number, select(values)) for number, values in self.read())

    def _find_column(self, column: str) -> int:
        if column not in self.columns:
            suggestion = hint(column, self.columns) or f"; it has {list_names(self.columns)}"
            raise InvalidDefinition(f"{self.name} has no column {column!r}{suggestion}")
        return self.columns.index(column)


@contextmanager
def open_file(path: Path, delimiter: str) -> Iterator[LookupTable]:
    """Open a `.parquet` file, or any other file as CSV in UTF-8 with a header.

    Raises:
        InvalidDefinition: the file is missing, damaged, or in another format.
    """
    if not path.is_file():
        raise InvalidDefinition(f"table {path} does not exist; paths are relative to the definition's folder")
    if path.suffix.lower() == ".parquet":
        yield _open_parquet(path)
        return
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield _read_csv(path.name, csv.reader(file, delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        raise InvalidDefinition(
            f"table {path.name} is not UTF-8 (byte {error.start} of the file); save it as UTF-8"
        ) from error


@contextmanager
def open_database(url: sa.URL, statement: sa.Executable) -> Iterator[LookupTable]:
    """Run a query, without ever committing.

    Raises:
        InvalidDefinition: the connection or the query fails; the message contains no credentials.
    """
    name = f"database {url.get_backend_name()} {url.database or ''}".rstrip()
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        # SQLite would create an empty database.
        raise InvalidDefinition(f"{name} does not exist; paths are relative to the definition's folder")
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True)
        with engine.connect().execution_options(yield_per=_ROWS_PER_FETCH) as connection:
            result = connection.execute(statement)
            columns = tuple(result.keys())
            _check_unique_columns(name, columns)
            yield LookupTable(
                name, columns, "row", lambda: ((number, tuple(row)) for number, row in enumerate(result, 1))
            )
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).partition("\n")[0]
        raise InvalidDefinition(f"{name} cannot be read: {reason}") from None


def _read_csv(name: str, reader: Any) -> LookupTable:
    lines = _read_lines(name, reader)
    _, columns = next(lines, (0, ()))
    if not columns:
        raise InvalidDefinition(f"table {name} is empty; its first line must name the columns")
    _check_unique_columns(name, columns)
    return LookupTable(f"table {name}", columns, "line", lambda: _check_lengths(name, columns, lines))


def _read_lines(name: str, reader: Any) -> Rows:
    try:
        for values in reader:
            # A blank line has no values.
            if values:
                yield reader.line_num, tuple(values)
    except csv.Error as error:
        raise InvalidDefinition(f"table {name}, line {reader.line_num}: {error}") from error


def _check_lengths(name: str, columns: tuple[str, ...], lines: Rows) -> Rows:
    for number, values in lines:
        if len(values) != len(columns):
            found = f"{len(values)} values for {len(columns)} columns"
            raise InvalidDefinition(f"table {name}, line {number}: {found}; check quotes and `delimiter`")
        yield number, values


def _open_parquet(path: Path) -> LookupTable:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise missing_extra("parquet", "lookup", error) from error
    try:
        # Nanoseconds, into which Spark's old instants are read by default, end in the year 2262.
        file = ParquetFile(path, coerce_int96_timestamp_unit="us")
    except (ArrowException, OSError) as error:
        raise InvalidDefinition(f"table {path.name} is damaged or not a Parquet file") from error
    columns = tuple(file.schema_arrow.names)
    _check_unique_columns(path.name, columns)
    return LookupTable(f"table {path.name}", columns, "row", lambda: _read_parquet(path.name, file))


def _read_parquet(name: str, file: Any) -> Rows:
    from pyarrow import ArrowException

    number = 0
    try:
        for batch in file.iter_batches(batch_size=_ROWS_PER_FETCH):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield number, values
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise InvalidDefinition(
            f"table {name} cannot be read after row {number:,}: it is damaged, or holds an instant that no datetime can"
        ) from error


def _check_unique_columns(name: str, columns: tuple[str, ...]) -> None:
    duplicates = sorted({column for column in columns if columns.count(column) > 1})
    if duplicates:
        raise InvalidDefinition(f"table {name} has the column {duplicates[0]!r} more than once; rename one of them")
