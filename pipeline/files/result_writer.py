"""Writes results to a file or to standard output, in any format."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput
from pipeline.files.csv_file import CsvWriter
from pipeline.files.json_lines_file import JsonLinesWriter, open_for_append
from pipeline.files.output_file import open_for_replacement, open_in_place
from pipeline.files.parquet_file import ParquetWriter

STDOUT = "-"


class OutputFormat(StrEnum):
    """The format of written results."""

    #: One JSON object per line; the file grows as results arrive.
    JSONL = "jsonl"
    #: A header and one row per result, for spreadsheets.
    CSV = "csv"
    #: Apache Parquet; needs the extra `parquet`.
    PARQUET = "parquet"


def choose_format(target: str | Path, name: str | None = None) -> OutputFormat:
    """Return the format `name` (in any case), or that of the file's suffix, or JSON Lines.

    Raises:
        InvalidInput: there is no format with this name.
    """
    wanted = name if name is not None else Path(target).suffix.removeprefix(".")
    found = next((each for each in OutputFormat if each == wanted.lower()), None)
    if found is None and name is not None:
        raise InvalidInput(
            f"unknown format {name!r}{hint(name, OutputFormat)}; results can be written as {', '.join(OutputFormat)}"
        )
    return found or OutputFormat.JSONL


class ResultWriter(Protocol):
    """Writes results one at a time."""

    def write(self, result: Mapping[str, Any]) -> None:
        """Write one result, in the shape of `pipeline.domain.event.item_data`."""

    def flush(self) -> None:
        """Make the written results visible to readers of the file; call it after each group of results.

        A Parquet file cannot be read before it is complete.
        """


@contextmanager
def open_writer(
    target: str | Path, format: str | None = None, *, append: bool = False, stdout: BinaryIO | None = None
) -> Iterator[ResultWriter]:
    """Open a writer of results to `target`.

    Args:
        target: a file, or `-` for standard output. JSON Lines are written in place; CSV and Parquet replace the file
            when the context succeeds, and leave it unchanged when it raises.
        format: one of `OutputFormat`; defaults to that of the file's suffix, or JSON Lines.
        append: keep the existing lines, except for an incomplete last one; JSON Lines only.
        stdout: what `-` writes to instead of the process's standard output; it is left open.

    Raises:
        InvalidInput: the format is unknown, the folder does not exist, or the file cannot be written.
        BrokenPipeError: the reader of standard output or of a pipe has closed it.
    """
    chosen = choose_format(target, format)
    if append and chosen is not OutputFormat.JSONL:
        raise InvalidInput(f"cannot append to {chosen}; write a new file, or use --format jsonl")
    with _open_target(target, chosen, append, stdout) as file, closing(_make_writer(chosen, file)) as writer:
        yield writer


def _open_target(
    target: str | Path, format: OutputFormat, append: bool, stdout: BinaryIO | None
) -> AbstractContextManager[BinaryIO]:
    if target == STDOUT:
        return nullcontext(_open_stdout(format, stdout))
    if format is OutputFormat.JSONL:
        return open_for_append(target) if append else open_in_place(target)
    return open_for_replacement(target)


def _open_stdout(format: OutputFormat, stdout: BinaryIO | None) -> BinaryIO:
    stream = sys.stdout.buffer if stdout is None else stdout
    if format is OutputFormat.PARQUET and stream.isatty():
        raise InvalidInput("Parquet is a binary format and is not written to a terminal; name a file with -o")
    return stream


def _make_writer(format: OutputFormat, file: BinaryIO) -> JsonLinesWriter | CsvWriter | ParquetWriter:
    if format is OutputFormat.JSONL:
        return JsonLinesWriter(file)
    return CsvWriter(file) if format is OutputFormat.CSV else ParquetWriter(file)
