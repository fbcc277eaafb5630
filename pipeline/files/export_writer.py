"""Writes the parts of an export: the formats of result files, in files that are open already."""

from __future__ import annotations

import gzip
from typing import BinaryIO, Protocol

import orjson

from pipeline.domain.urls.export_target import ExportFormat
from pipeline.files.csv_file import CsvWriter
from pipeline.files.layout import Layout
from pipeline.files.output_format import OutputFormat
from pipeline.files.parquet_file import ParquetWriter
from pipeline.files.table_columns import choose_columns

#: The highest level takes three times as long and saves 2 %.
_GZIP_LEVEL = 6
_INSTANT, _JSON = "timestamp", "json"
_TYPES = {"seq": "int64", "confidence": "double", "attempts": "int32"}
_JSON_COLUMNS = frozenset({"classification", "enrichment", "error", "timings", "payload"})


class RowWriter(Protocol):
    """Writes results one at a time to an open file, which it leaves open."""

    def write(self, result: bytes, /) -> None:
        """Write one result: the JSON of `pipeline.domain.event.item_data`."""

    def close(self) -> None:
        """Write the rest."""


def open_part(format: ExportFormat, file: BinaryIO, *, with_payload: bool) -> RowWriter:
    """Return a writer of one part. The same results give the same bytes.

    Raises:
        InvalidInput: the library that the format needs is not installed.
    """
    match format:
        case ExportFormat.JSONL:
            return _Lines(file)
        case ExportFormat.JSONL_GZ:
            return _GzipLines(file)
        case ExportFormat.CSV:
            columns = _columns(OutputFormat.CSV, with_payload)
            return _Table(CsvWriter(file, columns), columns)
        case ExportFormat.PARQUET:
            columns = _columns(OutputFormat.PARQUET, with_payload)
            return _Table(ParquetWriter(file, columns, has_instants=True, compression="zstd"), columns)


def part_schema(format: ExportFormat, *, with_payload: bool) -> list[dict[str, str]]:
    """Return the name and the type of each column of a part."""
    if format is ExportFormat.CSV:
        columns = _columns(OutputFormat.CSV, with_payload)
        return [{"name": name, "type": _csv_type(name)} for name in columns]
    columns = _columns(OutputFormat.PARQUET, with_payload)
    is_parquet = format is ExportFormat.PARQUET
    return [{"name": name, "type": _type(name, is_parquet=is_parquet)} for name in columns]


class _Lines:
    """Writes JSON Lines. Results are JSON already."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, result: bytes, /) -> None:
        self._file.write(result + b"\n")

    def close(self) -> None:
        self._file.flush()


class _GzipLines:
    """Writes JSON Lines compressed with gzip."""

    def __init__(self, file: BinaryIO) -> None:
        # Neither name nor time: the same results give the same file.
        self._content = gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0)

    def write(self, result: bytes, /) -> None:
        self._content.write(result + b"\n")

    def close(self) -> None:
        self._content.close()


class _Table:
    """Writes the columns of a table of results."""

    def __init__(self, table: CsvWriter | ParquetWriter, columns: tuple[str, ...]) -> None:
        self._layout = Layout(columns=columns)
        self._table = table
        self.close = table.close

    def write(self, result: bytes, /) -> None:
        self._table.write(self._layout.row(orjson.loads(result)))


def _columns(format: OutputFormat, with_payload: bool) -> tuple[str, ...]:
    columns = choose_columns(Layout(with_payload=with_payload), format)
    assert columns is not None
    return columns


def _type(name: str, *, is_parquet: bool) -> str:
    if name == "timings" and is_parquet:
        return f"struct of {_INSTANT}"
    return _JSON if name in _JSON_COLUMNS else _TYPES.get(name, "string")


def _csv_type(name: str) -> str:
    if name.startswith("timings."):
        return _INSTANT
    return _JSON if name in _JSON_COLUMNS else _TYPES.get(name, "string")
