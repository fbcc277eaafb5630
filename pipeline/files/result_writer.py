"""Writing results: where to, in which format."""

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
from pipeline.files.json_lines_file import JsonLinesWriter, without_torn_line
from pipeline.files.output_file import as_a_whole, in_place
from pipeline.files.parquet_file import ParquetWriter

STDOUT = "-"


class OutputFormat(StrEnum):
    """How results are written."""

    #: One JSON object a line; grows while it is written.
    JSONL = "jsonl"
    #: A header and one row a result, for spreadsheets.
    CSV = "csv"
    #: Columns; needs the extra `parquet`.
    PARQUET = "parquet"


def format_of(target: str | Path, name: str | None = None) -> OutputFormat:
    """Return the format called `name` in any case, else the one that the file's suffix says, else JSON Lines.

    Raises:
        InvalidInput: there is none of that name.
    """
    given = name if name is not None else Path(target).suffix.removeprefix(".")
    found = next((each for each in OutputFormat if each == given.lower()), None)
    if found is None and name is not None:
        raise InvalidInput(
            f"unknown format {name!r}{hint(name, OutputFormat)}; results are written as {', '.join(OutputFormat)}"
        )
    return found or OutputFormat.JSONL


class Writer(Protocol):
    """Takes results one at a time."""

    def write(self, result: Mapping[str, Any]) -> None:
        """Write one result, in the shape of `pipeline.domain.event.item_data`."""

    def flush(self) -> None:
        """Show others what was written; call it after each group of results. Parquet shows nothing before its end."""


@contextmanager
def writer(
    target: str | Path, format: str | None = None, *, append: bool = False, stdout: BinaryIO | None = None
) -> Iterator[Writer]:
    """A context in which results are written to `target`.

    Args:
        target: a file, or `-` for standard output. JSON Lines are written in place; CSV and Parquet replace the file
            when the context ends well, and leave it as it was when it raises.
        format: one of `OutputFormat`; default: what the file's suffix says, else JSON Lines.
        append: keep the lines that are there, without half a line at the end; JSON Lines only.
        stdout: what `-` writes to, instead of the process's own; it is left open.

    Raises:
        InvalidInput: an unknown format, a folder that does not exist, or a file that cannot be written.
        BrokenPipeError: whoever read the output has gone.
    """
    chosen = format_of(target, format)
    if append and chosen is not OutputFormat.JSONL:
        raise InvalidInput(f"cannot append to {chosen}; write a new file, or use --format jsonl")
    with _opened(target, chosen, append, stdout) as file, closing(_open_writer(chosen, file)) as opened:
        yield opened


def _opened(
    target: str | Path, format: OutputFormat, append: bool, stdout: BinaryIO | None
) -> AbstractContextManager[BinaryIO]:
    if target == STDOUT:
        return nullcontext(_standard_output(format, stdout))
    if format is OutputFormat.JSONL:
        return without_torn_line(target) if append else in_place(target)
    return as_a_whole(target)


def _standard_output(format: OutputFormat, stdout: BinaryIO | None) -> BinaryIO:
    stream = sys.stdout.buffer if stdout is None else stdout
    if format is OutputFormat.PARQUET and stream.isatty():
        raise InvalidInput("Parquet is not text for a terminal; name a file with -o")
    return stream


def _open_writer(format: OutputFormat, file: BinaryIO) -> JsonLinesWriter | CsvWriter | ParquetWriter:
    if format is OutputFormat.JSONL:
        return JsonLinesWriter(file)
    return CsvWriter(file) if format is OutputFormat.CSV else ParquetWriter(file)
