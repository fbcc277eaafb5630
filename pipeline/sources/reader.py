"""Reading items: from where, in which format and encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.domain.payload import MAX_PAYLOAD_BYTES, Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources import encodings
from pipeline.sources.csv_table import read_table
from pipeline.sources.format import InputFormat, named, of_head, of_path
from pipeline.sources.json_array import read_array
from pipeline.sources.json_lines import read_lines
from pipeline.sources.open_source import STDIN, existing, name_of, opened
from pipeline.sources.parquet import read_columns
from pipeline.sources.text_input import TextInput


def read(
    source: str | Path,
    *,
    format: str | None = None,
    encoding: str | None = None,
    stdin: BinaryIO | None = None,
    max_bytes: int = MAX_PAYLOAD_BYTES,
) -> Iterator[Record | Rejection]:
    """Yield the items of `source` in order, each as a record or as the rejection of one; memory stays flat.

    Args:
        source: a file, or `-` for standard input. Gzip is recognised by its first bytes.
        format: one of `InputFormat`; default: what the file's suffix says, or the first bytes of a pipe.
        encoding: of text, by its Python name; default: what a byte order mark says, else UTF-8.
        stdin: what `-` reads, instead of the process's own; it is left open.
        max_bytes: of one payload as compact JSON.

    Raises:
        InvalidInput: nothing can be read from `source`, at once where its name, format or encoding says so, else
            while it is read: it is empty, damaged or cut off. What was yielded before stays valid.
    """
    chosen = named(format) if format is not None else None
    declared = encodings.known(encoding) if encoding is not None else None
    path = None if source == STDIN else existing(source)
    if chosen is None and path is not None and path.is_file():
        chosen = of_path(path)
    if chosen is InputFormat.PARQUET:
        return _some(read_columns(_needs_file(path), max_bytes), name_of(source))
    return _some(_read_text(source, chosen, declared, stdin, max_bytes), name_of(source))


def _some(items: Iterator[Record | Rejection], name: str) -> Iterator[Record | Rejection]:
    first = next(items, None)
    if first is None:
        raise InvalidInput(f"no items in {name}")
    yield first
    yield from items


def _needs_file(path: Path | None) -> Path:
    if path is None:
        raise InvalidInput("Parquet cannot be read from standard input; save it and give the file")
    return path


def _read_text(
    source: str | Path, chosen: InputFormat | None, declared: str | None, stdin: BinaryIO | None, max_bytes: int
) -> Iterator[Record | Rejection]:
    with opened(source, stdin) as compressed:
        encoding = declared or encodings.detect(compressed)
        stream = encodings.as_utf8(compressed, encoding)
        yield from _reader(chosen, TextInput(stream, name_of(source), encoding, max_bytes))


def _reader(chosen: InputFormat | None, given: TextInput) -> Iterator[Record | Rejection]:
    head = given.stream.peek()
    if chosen is None and head.startswith(b"PAR1"):
        _needs_file(None)
    looks_like = of_head(head)
    chosen = chosen or looks_like
    if chosen in (InputFormat.CSV, InputFormat.TSV):
        return read_table(given, "\t" if chosen is InputFormat.TSV else None)
    if chosen is InputFormat.JSON and looks_like is InputFormat.JSON:
        return read_array(given)
    first, line_end, _ = head.lstrip().partition(b"\n")
    if line_end and first.strip() == b"{":
        raise InvalidInput(f"{given.name} begins with one object over several lines; write an array, or one a line")
    return read_lines(given)
