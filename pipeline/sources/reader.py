"""Reads items from a source, in any format and encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.domain.payload import MAX_PAYLOAD_BYTES, Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources import encodings
from pipeline.sources.csv_table import read_table
from pipeline.sources.format import InputFormat, format_from_suffix, guess_format, parse_format
from pipeline.sources.json_array import read_array
from pipeline.sources.json_lines import read_lines
from pipeline.sources.open_source import STDIN, check_file, display_name, open_source
from pipeline.sources.parquet import read_parquet
from pipeline.sources.text_input import TextInput


def read_items(
    source: str | Path,
    *,
    format: str | None = None,
    encoding: str | None = None,
    stdin: BinaryIO | None = None,
    max_bytes: int = MAX_PAYLOAD_BYTES,
) -> Iterator[Record | Rejection]:
    """Yield the items of `source` in order, each as a record or a rejection, in constant memory.

    Args:
        source: a file, or `-` for standard input. Gzip is detected by its first bytes.
        format: one of `InputFormat`; defaults to that of the file's suffix, or for a pipe, of its first bytes.
        encoding: Python's name of the text encoding; defaults to that of the byte order mark, or UTF-8.
        stdin: what `-` reads instead of the process's standard input; it is left open.
        max_bytes: size limit of one payload as compact JSON.

    Raises:
        InvalidInput: `source` cannot be read. This is raised at once if its name, the format or the encoding is wrong,
            and while reading if it is empty, damaged or truncated. Items yielded before remain valid.
    """
    chosen_format = parse_format(format) if format is not None else None
    chosen_encoding = encodings.normalize_encoding(encoding) if encoding is not None else None
    path = None if source == STDIN else check_file(source)
    if chosen_format is None and path is not None and path.is_file():
        chosen_format = format_from_suffix(path)
    if chosen_format is InputFormat.PARQUET:
        return _require_items(read_parquet(_require_file(path), max_bytes), display_name(source))
    items = _read_text(source, chosen_format, chosen_encoding, stdin, max_bytes)
    return _require_items(items, display_name(source))


def _require_items(items: Iterator[Record | Rejection], name: str) -> Iterator[Record | Rejection]:
    first = next(items, None)
    if first is None:
        raise InvalidInput(f"no items in {name}")
    yield first
    yield from items


def _require_file(path: Path | None) -> Path:
    if path is None:
        raise InvalidInput("Parquet cannot be read from standard input; save it to a file and give its name")
    return path


def _read_text(
    source: str | Path, format: InputFormat | None, encoding: str | None, stdin: BinaryIO | None, max_bytes: int
) -> Iterator[Record | Rejection]:
    with open_source(source, stdin) as raw:
        encoding = encoding or encodings.detect_encoding(raw)
        stream = encodings.convert_to_utf8(raw, encoding)
        yield from _read_records(format, TextInput(stream, display_name(source), encoding, max_bytes))


def _read_records(format: InputFormat | None, source: TextInput) -> Iterator[Record | Rejection]:
    head = source.stream.peek()
    if format is None and head.startswith(b"PAR1"):
        _require_file(None)
    guessed = guess_format(head)
    format = format or guessed
    if format in (InputFormat.CSV, InputFormat.TSV):
        return read_table(source, "\t" if format is InputFormat.TSV else None)
    if format is InputFormat.JSON and guessed is InputFormat.JSON:
        return read_array(source)
    first_line, line_end, _ = head.lstrip().partition(b"\n")
    if line_end and first_line.strip() == b"{":
        raise InvalidInput(
            f"{source.name} begins with an object that spans several lines; write an array, or one object per line"
        )
    return read_lines(source)
