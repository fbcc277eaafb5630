"""Reads a JSON array element by element as it streams, so that an invalid element is rejected alone."""

from __future__ import annotations

import re  # noqa: TID251 - two constant patterns, possessive throughout and therefore linear
from collections.abc import Iterator

from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.input_position import InputPosition
from pipeline.sources.json_object import WHITESPACE
from pipeline.sources.lines import END_OF_FILE
from pipeline.sources.text_input import TextInput

_CHUNK_BYTES = 64 * 1024
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
#: Matches up to the next character that ends or opens an element; inside an element, up to the next bracket.
_BETWEEN_ELEMENTS = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+[\[\]{},]", re.DOTALL)
_INSIDE_ELEMENT = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+[\[\]{}]", re.DOTALL)


def read_array(source: TextInput) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each element.

    Raises:
        InvalidInput: the array is truncated, an element does not end, or text follows the array.
    """
    is_first = True
    for position, raw, is_last in _split_elements(source):
        element = raw.strip()
        if is_first and is_last and not element:
            return
        is_first = False
        leading_space = raw[: len(raw) - len(raw.lstrip())]
        yield source.parse_record(element, position.advance(leading_space))


def _split_elements(source: TextInput) -> Iterator[tuple[InputPosition, bytes, bool]]:
    """Yield (position, bytes, whether it is the last) of each part between the array's brackets and commas."""
    opening = _read_opening(source)
    position, buffer = InputPosition().advance(opening), b""
    start = end = depth = 0
    while True:
        match = (_INSIDE_ELEMENT if depth else _BETWEEN_ELEMENTS).match(buffer, end)
        if match is None:
            buffer, start, end = buffer[start:] + _read_more(source, len(buffer) - start, position), 0, end - start
            continue
        end = match.end()
        delimiter = buffer[end - 1 : end]
        if delimiter in b"[{":
            depth += 1
        elif depth:
            depth -= delimiter in b"]}"
        else:
            yield position, buffer[start : end - 1], delimiter != b","
            position, start = position.advance(buffer[start:end]), end
            if delimiter != b",":
                return _check_end(delimiter, buffer[end:], position, source)


def _read_opening(source: TextInput) -> bytes:
    opening = b""
    while not opening.endswith(b"["):
        opening += source.stream.read(1)
    return opening


def _read_more(source: TextInput, buffered: int, position: InputPosition) -> bytes:
    if buffered > source.max_record_bytes:
        raise InvalidInput(
            f"{source.name}, line {position.line}: the element that begins here does not end within "
            f"{source.max_record_bytes:,} bytes; is a quote or a bracket missing?"
        )
    chunk = source.stream.read1(_CHUNK_BYTES)
    if not chunk:
        raise InvalidInput(
            f"{source.name} is truncated: the JSON array does not end; its last element begins on line {position.line}"
        )
    return chunk


def _check_end(delimiter: bytes, rest: bytes, position: InputPosition, source: TextInput) -> None:
    if delimiter == b"}":
        raise InvalidInput(
            f"{source.name}, line {position.line}: this }} has no matching {{; the rest of the input cannot be read"
        )
    while not rest.strip(WHITESPACE + END_OF_FILE):
        position = position.advance(rest)
        rest = source.stream.read1(_CHUNK_BYTES)
        if not rest:
            return
    position = position.advance(rest[: len(rest) - len(rest.lstrip())])
    raise InvalidInput(f"{source.name}, line {position.line}: there is text after the JSON array; remove it")
