"""Reads items from a source, in any format and encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from pipeline.domain.payload import MAX_PAYLOAD_BYTES, Record, Rejection
from pipeline.errors import InvalidInput, NoItems
from pipeline.sources import encodings
from pipeline.sources.csv_header import HeaderRules
from pipeline.sources.csv_table import read_table
from pipeline.sources.file_kinds import refuse_binary, refuse_markup
from pipeline.sources.format import InputFormat, format_from_suffix, guess_format, parse_format
from pipeline.sources.head_stream import HeadStream
from pipeline.sources.json_array import read_array
from pipeline.sources.json_lines import read_lines
from pipeline.sources.open_source import STDIN, check_file, display_name, open_source
from pipeline.sources.parquet import read_parquet
from pipeline.sources.propose_encodings import EncodingProposals
from pipeline.sources.read_report import ReadReport
from pipeline.sources.text_input import TextInput


def read_items(
    source: str | Path,
    *,
    format: str | None = None,
    encoding: str | None = None,
    header: HeaderRules | None = None,
    report: ReadReport | None = None,
    stdin: BinaryIO | None = None,
    max_bytes: int = MAX_PAYLOAD_BYTES,
    name: str | None = None,
) -> Iterator[Record | Rejection]:
    """Yield the items of `source` in order, each as a record or a rejection, in constant memory.

    Args:
        source: a file, or `-` for standard input. Gzip is detected by its first bytes.
        format: one of `InputFormat`; defaults to that of the file's suffix, or for a pipe, of its first bytes.
        encoding: Python's name of the text encoding; defaults to that of the byte order mark, or UTF-8.
        header: what to do about a header that repeats a name or lacks one.
        report: counts blank rows and takes warnings while the items are read.
        stdin: what `-` reads instead of the process's standard input; it is left open.
        max_bytes: size limit of one payload as compact JSON.
        name: of the input in messages; default: of the file, or `standard input`.

    Raises:
        InvalidInput: `source` cannot be read. This is raised at once if its name, the format or the encoding is wrong,
            and while reading if it is empty, damaged or truncated. Items yielded before remain valid.
    """
    chosen_format = parse_format(format) if format is not None else None
    chosen_encoding = encodings.normalize_encoding(encoding) if encoding is not None else None
    name = name or display_name(source)
    path = None if source == STDIN else check_file(source)
    if chosen_format is None and path is not None and path.is_file():
        chosen_format = format_from_suffix(path)
    if chosen_format is InputFormat.PARQUET:
        return _require_items(read_parquet(_require_file(path, stdin), max_bytes, name), name)
    options = _TextOptions(chosen_format, chosen_encoding, header or HeaderRules(), report or ReadReport(), max_bytes)
    return _require_items(_read_text(source, stdin, options, name), name)


class _TextOptions(NamedTuple):
    """How to read a text."""

    format: InputFormat | None
    encoding: str | None
    header: HeaderRules
    report: ReadReport
    max_bytes: int


def _require_items(items: Iterator[Record | Rejection], name: str) -> Iterator[Record | Rejection]:
    first = next(items, None)
    if first is None:
        raise NoItems(f"no items in {name}")
    yield first
    yield from items


def _require_file(path: Path | None, stdin: BinaryIO | None) -> Path | BinaryIO:
    if path is None and stdin is not None and stdin.seekable():
        return stdin
    if path is None or not path.is_file():
        pipe = "standard input" if path is None else f"the pipe {path}"
        raise InvalidInput(f"Parquet cannot be read from {pipe}; save it to a file and give its name")
    return path


def _read_text(
    source: str | Path, stdin: BinaryIO | None, options: _TextOptions, name: str
) -> Iterator[Record | Rejection]:
    with open_source(source, stdin, name) as opened:
        raw = HeadStream(opened)
        stream = raw.buffered()
        head = stream.peek()
        encoding = options.encoding or encodings.detect_encoding(head)
        refuse_binary(head, name, encoding)
        if options.encoding is not None:
            encodings.check_byte_order_mark(head, options.encoding, name)
        text = encodings.convert_to_utf8(stream, encoding or encodings.UTF8)
        skipped = encodings.skip_byte_order_mark(text)
        refuse_markup(text.peek(), name)
        opened_text = TextInput(
            text,
            name,
            encoding or encodings.UTF8,
            options.max_bytes,
            first_offset=skipped,
            proposals=EncodingProposals(raw.sample),
            report=options.report,
        )
        yield from _read_records(opened_text, options)


def _read_records(source: TextInput, options: _TextOptions) -> Iterator[Record | Rejection]:
    head = source.stream.peek()
    guessed = guess_format(head)
    format = options.format or guessed
    if format in (InputFormat.CSV, InputFormat.TSV):
        if _is_json(_first_line(head)[0]):
            raise InvalidInput(f"{source.name} holds JSON, not a table; name its format with --format jsonl")
        return read_table(source, "\t" if format is InputFormat.TSV else None, options.header)
    if format is InputFormat.JSON and guessed is InputFormat.JSON:
        return read_array(source)
    _refuse_document(head, source.name)
    return read_lines(source)


def _refuse_document(head: bytes, name: str) -> None:
    """Refuse a JSON document that spans lines: single lines of it may be valid, and would be taken for the items.

    Raises:
        InvalidInput: the first line is an array of objects, or begins an array or object that does not end on it.
    """
    first_line, line_end = _first_line(head)
    if first_line.startswith(b"{") and first_line.endswith(b"},"):
        raise InvalidInput(
            f"{name} holds objects with commas between them; remove the commas, or put [ and ] around all"
        )
    if not first_line.startswith((b"{", b"[")) and _opens_document(head):
        raise InvalidInput(f"{name} begins with text before a JSON array or object that spans lines; remove that text")
    if first_line.startswith(b"[") and _holds_items(first_line):
        raise InvalidInput(f"{name} holds an array, not one object per line; name its format with --format json")
    if line_end and first_line.startswith(b"{") and first_line.endswith((b"{", b"[", b",")):
        raise InvalidInput(
            f"{name} begins with an object that spans several lines; write an array, or one object per line"
        )


def _opens_document(head: bytes) -> bool:
    """Return whether a line before the first object on one line begins JSON that does not end on it."""
    for line in map(bytes.strip, head.split(b"\n")[:-1]):
        if line.startswith(b"{") and line.endswith(b"}"):
            return False
        if line.endswith((b"[", b"{", b",")) and (b"[" in line or b"{" in line):
            return True
    return False


def _first_line(head: bytes) -> tuple[bytes, bytes]:
    """Return the first line that is not blank, without white space around it, and its line end."""
    line, line_end, _ = head.lstrip().partition(b"\n")
    return line.rstrip(), line_end


def _holds_items(line: bytes) -> bool:
    """Return whether a line is an array of objects, or the beginning of an array."""
    try:
        value = orjson.loads(line)
    except ValueError:
        return True
    return any(isinstance(each, dict) for each in value)


def _is_json(line: bytes) -> bool:
    """Return whether the first line of a table is the beginning of JSON."""
    return line in (b"[", b"{") or line.replace(b" ", b"").startswith((b'{"', b"[{"))
