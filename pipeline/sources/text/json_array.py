"""Reads a JSON array element by element as it streams, so that an invalid element is rejected alone."""

from __future__ import annotations

import io
import re  # noqa: TID251 - two constant patterns, possessive throughout and therefore linear
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.text.input_position import InputPosition
from pipeline.sources.text.json_document import find_array, read_end
from pipeline.sources.text.json_object import WHITESPACE
from pipeline.sources.text.lines import END_OF_FILE
from pipeline.sources.text.text_input import TextInput

_CHUNK_BYTES = 64 * 1024
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
#: Matches up to the next character that ends or opens an element; inside an element, up to the next bracket.
_BETWEEN_ELEMENTS = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+[\[\]{},]", re.DOTALL)
_INSIDE_ELEMENT = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+[\[\]{}]", re.DOTALL)


def read_array(source: TextInput, items: str | None = None) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each element.

    Args:
        items: names of the members that lead to the array, separated by dots; None: the text is the array.

    Raises:
        InvalidInput: there is no such array, it is truncated, an element does not end, or text follows the array.
    """
    path = items.split(".") if items else []
    is_first = source.position.after is None
    for element in _split_elements(source, path):
        raw = element.raw.strip()
        if is_first and element.is_last and not raw:
            return
        is_first = False
        leading_space = element.raw[: len(element.raw) - len(element.raw.lstrip())]
        yield source.parse_record(raw, element.position.advance(leading_space), element.after)


class _Element(NamedTuple):
    """A part of the text between the array's brackets and commas."""

    position: InputPosition
    raw: bytes
    is_last: bool
    #: The place of the comma or bracket after it.
    after: InputCursor | None


def _split_elements(source: TextInput, path: list[str]) -> Iterator[_Element]:
    stream, position, is_over = _open_array(source, path)
    if is_over:
        return
    buffer = b""
    start = end = depth = 0
    while True:
        match = (_INSIDE_ELEMENT if depth else _BETWEEN_ELEMENTS).match(buffer, end)
        if match is None:
            more = _read_more(source, stream, len(buffer) - start, position)
            buffer, start, end = buffer[start:] + more, 0, end - start
            continue
        end = match.end()
        delimiter = buffer[end - 1 : end]
        if delimiter in b"[{":
            depth += 1
        elif depth:
            depth -= delimiter in b"]}"
        else:
            raw = buffer[start : end - 1]
            last = position.advance(raw)
            after = source.position.after_line(last.line - 1, last.offset, column=last.column)
            yield _Element(position, raw, delimiter != b",", after)
            position, start = last.advance(delimiter), end
            if delimiter != b",":
                return _check_end(source, stream, delimiter, buffer[end:], position, path)


def _open_array(source: TextInput, path: list[str]) -> tuple[io.BufferedReader, InputPosition, bool]:
    """Return the text from the array's first element on, or from the one to go on with; and whether there is none."""
    after = source.position.after
    if after is None:
        if path:
            return source.stream, InputPosition(offset=source.first_offset).advance(find_array(source, path)), False
        opening = b""
        while not opening.endswith(b"["):
            opening += source.stream.read(1)
        return source.stream, InputPosition(offset=source.first_offset).advance(opening), False
    if source.reopen is None:
        raise InvalidInput(f"{source.name} cannot be read from the middle; read it from its beginning")
    stream = source.reopen(after.byte)
    delimiter = stream.read(1)
    position = InputPosition(after.line + 1, after.column, after.byte).advance(delimiter)
    if delimiter == b",":
        return stream, position, False
    _check_end(source, stream, delimiter, b"", position, path)
    return stream, position, True


def _read_more(source: TextInput, stream: io.BufferedReader, buffered: int, position: InputPosition) -> bytes:
    if buffered > source.max_record_bytes:
        raise InvalidInput(
            f"{source.name}, line {position.line}: the element that begins here does not end within "
            f"{source.max_record_bytes:,} bytes; is a quote or a bracket missing?"
        )
    chunk = stream.read1(_CHUNK_BYTES)
    if not chunk:
        raise InvalidInput(
            f"{source.name} is truncated: the JSON array does not end; its last element begins on line {position.line}"
        )
    return chunk


def _check_end(
    source: TextInput,
    stream: io.BufferedReader,
    delimiter: bytes,
    rest: bytes,
    position: InputPosition,
    path: list[str],
) -> None:
    if delimiter == b"}":
        raise InvalidInput(
            f"{source.name}, line {position.line}: this }} has no matching {{; the rest of the input cannot be read"
        )
    if path:
        rest = read_end(source, stream, rest, depth=len(path))
    while not rest.strip(WHITESPACE + END_OF_FILE):
        position = position.advance(rest)
        rest = stream.read1(_CHUNK_BYTES)
        if not rest:
            return
    position = position.advance(rest[: len(rest) - len(rest.lstrip())])
    what = "object" if path else "array"
    raise InvalidInput(f"{source.name}, line {position.line}: there is text after the JSON {what}; remove it")
