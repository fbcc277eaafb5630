"""Read the parts of an export back, as far as it takes to check them."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import orjson

from pipeline.domain.urls.export_target import ExportFormat
from pipeline.files.parquet_file import import_arrow

#: A payload and the answers about it, in one cell.
_MAX_CELL = 64 * 1024 * 1024


class DamagedPart(Exception):
    """A part cannot be read."""


def read_seqs(format: ExportFormat, file: BinaryIO) -> Iterator[int]:
    """Yield the `seq` of each result in a part, in the order of the file.

    Args:
        file: at its beginning; it can be sought.

    Raises:
        DamagedPart: it cannot be read.
        InvalidInput: the library that the format needs is not installed.
    """
    try:
        match format:
            case ExportFormat.JSONL:
                yield from _of_lines(file)
            case ExportFormat.JSONL_GZ:
                with gzip.GzipFile(fileobj=file, mode="rb") as content:
                    yield from _of_lines(content)
            case ExportFormat.CSV:
                yield from _of_table(file)
            case ExportFormat.PARQUET:
                yield from _of_parquet(file)
    except (ValueError, KeyError, TypeError, EOFError, OSError, zlib.error, csv.Error) as error:
        raise DamagedPart(f"{type(error).__name__}: {error}") from None


def _of_lines(file: BinaryIO | gzip.GzipFile) -> Iterator[int]:
    for line in file:
        yield int(orjson.loads(line)["seq"])


def _of_table(file: BinaryIO) -> Iterator[int]:
    csv.field_size_limit(_MAX_CELL)
    text = io.TextIOWrapper(file, "utf-8", newline="")
    try:
        for row in csv.DictReader(text):
            yield int(row["seq"])
    finally:
        # The file belongs to the caller.
        text.detach()


def _of_parquet(file: BinaryIO) -> Iterator[int]:
    _, parquet = import_arrow("reading Parquet")
    for batch in parquet.ParquetFile(file).iter_batches(columns=["seq"]):
        yield from batch.column(0).to_pylist()
