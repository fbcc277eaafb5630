"""A JSON array, cut into its elements as it streams: one refused element leaves its neighbours alone."""

from __future__ import annotations

import re  # noqa: TID251 - two constant patterns, possessive throughout, hence linear
from collections.abc import Iterator

from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.input_position import InputPosition
from pipeline.sources.text_input import TextInput

_CHUNK_BYTES = 64 * 1024
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
#: Up to what ends or opens an element, and inside an element up to the next bracket.
_BETWEEN = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+[\[\]{},]", re.DOTALL)
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+[\[\]{}]", re.DOTALL)


def read_array(given: TextInput) -> Iterator[Record | Rejection]:
    """Yield what each element holds.

    Raises:
        InvalidInput: the array is cut off, an element is too long to be one, or text follows the end.
    """
    is_first = True
    for place, raw, is_last in _elements(given):
        element = raw.strip()
        if is_first and is_last and not element:
            return
        is_first = False
        lead = raw[: len(raw) - len(raw.lstrip())]
        yield given.accept(element, place.after(lead))


def _elements(given: TextInput) -> Iterator[tuple[InputPosition, bytes, bool]]:
    """Yield (place, bytes, whether it is the last) of whatever stands between brackets and commas."""
    opening = _opening(given)
    place, buffer = InputPosition().after(opening), b""
    begin = end = depth = 0
    while True:
        found = (_INSIDE if depth else _BETWEEN).match(buffer, end)
        if found is None:
            buffer, begin, end = buffer[begin:] + _more(given, len(buffer) - begin, place), 0, end - begin
            continue
        end = found.end()
        mark = buffer[end - 1 : end]
        if mark in b"[{":
            depth += 1
        elif depth:
            depth -= mark in b"]}"
        else:
            yield place, buffer[begin : end - 1], mark != b","
            place, begin = place.after(buffer[begin:end]), end
            if mark != b",":
                return _end(mark, buffer[end:], place, given)


def _opening(given: TextInput) -> bytes:
    opening = b""
    while not opening.endswith(b"["):
        opening += given.stream.read(1)
    return opening


def _more(given: TextInput, held: int, place: InputPosition) -> bytes:
    if held > given.max_record_bytes:
        raise InvalidInput(
            f"{given.name}, line {place.line}: the element that begins here does not end within "
            f"{given.max_record_bytes:,} bytes; is a quote or a bracket missing?"
        )
    chunk = given.stream.read1(_CHUNK_BYTES)
    if not chunk:
        raise InvalidInput(
            f"{given.name} is cut off: the JSON array does not end, and its last element begins on line {place.line}"
        )
    return chunk


def _end(mark: bytes, rest: bytes, place: InputPosition, given: TextInput) -> None:
    if mark == b"}":
        raise InvalidInput(f"{given.name}, line {place.line}: a }} here closes nothing; what follows cannot be read")
    while not rest.strip():
        place = place.after(rest)
        rest = given.stream.read1(_CHUNK_BYTES)
        if not rest:
            return
    place = place.after(rest[: len(rest) - len(rest.lstrip())])
    raise InvalidInput(f"{given.name}, line {place.line}: there is text after the end of the JSON array; remove it")
