"""Writes results to a file or to standard output, in any format."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pipeline.errors import InvalidInput
from pipeline.files.csv_file import CsvWriter
from pipeline.files.json_lines_file import JsonLinesWriter, open_for_append
from pipeline.files.layout import Layout
from pipeline.files.output_file import open_for_replacement, open_in_place
from pipeline.files.output_format import Encoding, OutputFormat, choose_encoding
from pipeline.files.parquet_file import ParquetWriter
from pipeline.files.table_columns import UnknownColumnsWriter, choose_columns
from pipeline.files.xlsx_file import XlsxWriter

STDOUT = "-"


class ResultWriter(Protocol):
    """Writes results one at a time."""

    def write(self, result: Mapping[str, Any], /) -> None:
        """Write one result, in the shape of `pipeline.domain.event.item_data`."""

    def flush(self) -> None:
        """Make the written results visible to readers of the file; call it after each group of results.

        Only a file of JSON Lines can be read before it is complete.
        """

    def close(self) -> None:
        """Write the rest."""


@contextmanager
def open_writer(
    target: str | Path,
    format: str | None = None,
    *,
    layout: Layout | None = None,
    append: bool = False,
    stdout: BinaryIO | None = None,
) -> Iterator[ResultWriter]:
    """Open a writer of results to `target`.

    Args:
        target: a file, or `-` for standard output. JSON Lines are written in place; all other files, and those that are
            compressed, are replaced when the context succeeds, and stay unchanged when it raises.
        format: one of `OutputFormat`; defaults to that of the file's suffix, or JSON Lines if there is none.
        layout: which values are written; default: all.
        append: keep the existing lines, except for an incomplete last one; JSON Lines only.
        stdout: what `-` writes to instead of the process's standard output; it is left open.

    Raises:
        InvalidInput: the format or suffix is unknown, the folder does not exist, or the file cannot be written.
        BrokenPipeError: the reader of standard output or of a pipe has closed it.
    """
    encoding = choose_encoding(target, format)
    if append and not encoding.grows:
        raise InvalidInput(f"cannot append to {encoding.format}; write a new file, or use --format jsonl")
    chosen = layout or Layout()
    with (
        _open_target(target, encoding, append, stdout) as file,
        _compressed(file, encoding) as content,
        closing(_make_writer(encoding.format, content, chosen)) as writer,
    ):
        yield writer


@contextmanager
def _compressed(file: BinaryIO, encoding: Encoding) -> Iterator[BinaryIO]:
    if not encoding.is_gzip:
        yield file
        return
    # Neither name nor time: the same results give the same file.
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as content:
        yield content  # type: ignore[misc]  # it has the methods that are used


def _open_target(
    target: str | Path, encoding: Encoding, append: bool, stdout: BinaryIO | None
) -> AbstractContextManager[BinaryIO]:
    if target == STDOUT:
        return nullcontext(_open_stdout(encoding.format, stdout))
    if encoding.grows:
        return open_for_append(target) if append else open_in_place(target)
    return open_for_replacement(target)


def _open_stdout(format: OutputFormat, stdout: BinaryIO | None) -> BinaryIO:
    stream = sys.stdout.buffer if stdout is None else stdout
    if not format.is_text and stream.isatty():
        raise InvalidInput(f"{format} is a binary format and is not written to a terminal; name a file with -o")
    return stream


def _make_writer(format: OutputFormat, file: BinaryIO, layout: Layout) -> ResultWriter:
    if format is OutputFormat.JSONL:
        return _LayoutWriter(JsonLinesWriter(file), layout)
    make: Callable[[Sequence[str]], ResultWriter] = partial(_TABLES[format], file)
    columns = choose_columns(layout, format)
    if columns is None:
        return _LayoutWriter(UnknownColumnsWriter(make), layout)
    return _LayoutWriter(make(columns), replace(layout, columns=columns))


class _LayoutWriter:
    """Writes the rows that a layout makes of results."""

    def __init__(self, rows: ResultWriter, layout: Layout) -> None:
        self._rows = rows
        self._layout = layout
        self.flush, self.close = rows.flush, rows.close

    def write(self, result: Mapping[str, Any], /) -> None:
        self._rows.write(self._layout.row(result))


_TABLES: Mapping[OutputFormat, Callable[[BinaryIO, Sequence[str]], ResultWriter]] = {
    OutputFormat.CSV: CsvWriter,
    OutputFormat.TSV: partial(CsvWriter, delimiter="\t"),
    OutputFormat.PARQUET: ParquetWriter,
    OutputFormat.XLSX: XlsxWriter,
}
