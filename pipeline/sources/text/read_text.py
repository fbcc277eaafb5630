"""Reads a text by its format, after its encoding is known."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial

import orjson

from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources import file_kinds
from pipeline.sources.agreement import Agreement
from pipeline.sources.file_position import FilePosition
from pipeline.sources.format import BINARY_FORMATS, InputFormat, guess_format
from pipeline.sources.head_stream import HeadStream
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.text import encodings
from pipeline.sources.text.csv_table import read_table
from pipeline.sources.text.json_array import read_array
from pipeline.sources.text.json_document import propose_path
from pipeline.sources.text.json_lines import read_lines
from pipeline.sources.text.lines import ends_with_cr
from pipeline.sources.text.propose_encodings import EncodingProposals
from pipeline.sources.text.text_input import TextInput
from pipeline.sources.unused_options import refuse_unused

_CHUNK_BYTES = 64 * 1024
Items = Iterator[Record | Rejection]


@dataclass(slots=True)
class TextOrigin:
    """Where a text comes from, and how it is opened again at another place.

    Args:
        name: of the file in messages.
        head: the stream that it is read from first.
        reopen: opens its bytes again; if `can_seek`, at an offset.
        is_member: whether it is in an archive.
    """

    name: str
    head: HeadStream
    reopen: Callable[..., AbstractContextManager[io.BufferedReader]]
    can_seek: bool
    is_decompressed: bool = False
    is_member: bool = False
    _opened: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Close what was opened again."""
        self._opened.close()

    def open_at(self, encoding: str, byte: int) -> io.BufferedReader:
        """Return the text as UTF-8 from its byte `byte` on. It is read from its beginning if it has to be."""
        if self.can_seek and encoding == encodings.UTF8:
            return self._opened.enter_context(self.reopen(byte))
        stream = encodings.convert_to_utf8(self._opened.enter_context(self.reopen()), encoding)
        while byte and (chunk := stream.read(min(byte, _CHUNK_BYTES))):
            byte -= len(chunk)
        return stream


def read_text(
    stream: io.BufferedReader,
    origin: TextOrigin,
    format: InputFormat | None,
    options: ReadOptions,
    report: ReadReport,
    agreement: Agreement,
    position: FilePosition,
) -> Items:
    """Yield the items of a text.

    Args:
        stream: its bytes; the first `peek` returns a whole line, or as much as is looked at.
        format: None: that of its content.

    Raises:
        InvalidInput: it is no text, is damaged or truncated, or does not have the format.
    """
    name, head = origin.name, stream.peek()
    encoding = options.encoding or encodings.detect_encoding(head)
    file_kinds.refuse_binary(head, name, encoding)
    if options.encoding is not None:
        encodings.check_byte_order_mark(head, options.encoding, name)
    if format in BINARY_FORMATS:
        raise InvalidInput(f"{name} is not {format}, or it is compressed, which {format} cannot be; decompress it")
    reason = "--encoding" if options.encoding else "byte order mark" if encoding else "default"
    encoding = encoding or encodings.UTF8
    report.note("encoding", encoding, reason)
    with _explain_decoding(name):
        text = encodings.convert_to_utf8(stream, encoding)
        skipped = encodings.skip_byte_order_mark(text)
        file_kinds.refuse_markup(text.peek(), name)
        opened = TextInput(
            text,
            name,
            encoding,
            options.max_bytes,
            first_offset=skipped,
            proposals=EncodingProposals(origin.head.sample),
            report=report,
            position=position,
            reopen=partial(origin.open_at, encoding),
            check_columns=partial(agreement.check_columns, name),
            has_cr=ends_with_cr(text),
        )
        chosen, items = _choose_reader(opened, format, options)
        refuse_unused(options, chosen, name, is_member=origin.is_member)
        agreement.check_format(name, chosen)
        _note_format(report, text, chosen, format, options)
        yield from items


def _note_format(
    report: ReadReport,
    text: io.BufferedReader,
    chosen: InputFormat,
    named: InputFormat | None,
    options: ReadOptions,
) -> None:
    """Keep which format was chosen, and by what."""
    reason = "--format" if options.format else "name" if named is chosen else "content"
    report.note("format", chosen, reason)
    head = text.peek()
    end = "CR LF" if b"\r\n" in head else "LF" if b"\n" in head else "CR" if b"\r" in head else ""
    if end:
        report.note("line end", end)


def _choose_reader(source: TextInput, format: InputFormat | None, options: ReadOptions) -> tuple[InputFormat, Items]:
    head = source.stream.peek()
    guessed = guess_format(head)
    chosen = format or guessed
    if options.items is not None:
        return InputFormat.JSON, read_array(source, options.items)
    if chosen in (InputFormat.CSV, InputFormat.TSV):
        if _is_json(_first_line(head)[0]):
            raise InvalidInput(f"{source.name} holds JSON, not a table; name its format with --format jsonl")
        return chosen, read_table(source, "\t" if chosen is InputFormat.TSV else None, options.header, options.table)
    if chosen is InputFormat.JSON and guessed is InputFormat.JSON:
        return chosen, read_array(source)
    _refuse_document(head, source.name)
    items = read_lines(source)
    if format is not InputFormat.JSONL and source.position.after is None:
        path = propose_path(_first_line(head)[0])
        items = items if path is None else _refuse_single(items, source.name, path)
    return chosen, items


def _refuse_single(items: Items, name: str, path: str) -> Items:
    """Yield the items; refuse a single one, which is the answer of an API with items in it.

    Raises:
        InvalidInput: there is only one.
    """
    first, second = next(items, None), next(items, None)
    if first is not None and second is None:
        raise _items_inside(name, path)
    yield from (each for each in (first, second) if each is not None)
    yield from items


def _items_inside(name: str, path: str) -> InvalidInput:
    return InvalidInput(
        f"{name} is one object; the items seem to be under {path!r}: --items {path}. If it is one item, --format jsonl"
    )


class _explain_decoding(AbstractContextManager[None]):
    """Explains an encoding that cannot be read piece by piece."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnicodeError):
            raise InvalidInput(
                f"cannot decode {self._name}: {error}; name its encoding with --encoding, for example utf-8 or "
                "utf-16-le"
            ) from None


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
        path = propose_path(head.lstrip())
        if path is not None:
            raise _items_inside(name, path)
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
