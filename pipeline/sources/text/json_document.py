"""Finds the array of items inside a JSON object, such as the answer of an API, without keeping what is around it."""

from __future__ import annotations

import io
import re  # noqa: TID251 - one constant pattern, possessive throughout and therefore linear
from collections.abc import Iterator

import orjson

from pipeline.domain.did_you_mean import hint, list_names
from pipeline.errors import InvalidInput
from pipeline.sources.text.text_input import TextInput

_CHUNK_BYTES = 64 * 1024
#: A string, a character of structure, or a run of other characters.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|[^"\[\]{},:]++', re.DOTALL)


def find_array(source: TextInput, path: list[str]) -> bytes:
    """Read up to the `[` of the array that `path` leads to, and return what was read.

    Raises:
        InvalidInput: there is no such array; the message says which members there are.
    """
    read = bytearray()
    tokens = _tokens(_each_byte(source, read))
    shown = ".".join(path)
    if next(tokens, b"") != b"{":
        raise InvalidInput(f"{source.name} is not one JSON object, so that --items {shown} finds nothing in it")
    for number, name in enumerate(path, 1):
        if _seek_member(tokens, name, source.name) != (b"[" if number == len(path) else b"{"):
            what = "an array" if number == len(path) else "an object"
            raise InvalidInput(f"{source.name}: {name!r} is not {what}, so that --items {shown} finds nothing in it")
    return bytes(read)


def _seek_member(tokens: Iterator[bytes], name: str, source: str) -> bytes:
    """Read up to the value of a member of the object that is open, and return the value's first token."""
    names: list[str] = []
    depth, before = 1, b"{"
    for token in tokens:
        if depth == 1 and before in (b"{", b",") and token.startswith(b'"'):
            names.append(_text(token))
        elif depth == 1 and before == b":" and names[-1:] == [name]:
            return token
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        if not depth:
            break
        before = token
    near = hint(name, names) or f"; it has {list_names(names)}"
    raise InvalidInput(f"{source} has no member {name!r} for --items{near}")


def read_end(source: TextInput, stream: io.BufferedReader, rest: bytes, depth: int) -> bytes:
    """Read the rest of the object after the array, and return the beginning of what follows it.

    Args:
        rest: what was read after the array.
        depth: objects that are open.

    Raises:
        InvalidInput: the object does not end.
    """
    while True:
        position = 0
        for match in _TOKEN.finditer(rest):
            position = match.end()
            depth += (match[0] in (b"{", b"[")) - (match[0] in (b"}", b"]"))
            if not depth:
                return rest[position:]
        # What is left is the beginning of a string.
        left = rest[position:]
        more = stream.read1(_CHUNK_BYTES)
        if not more:
            raise InvalidInput(f"{source.name} is truncated: the JSON object does not end")
        if len(left) > source.max_record_bytes:
            raise InvalidInput(
                f"{source.name}: a value after the items is longer than {source.max_record_bytes:,} bytes"
            )
        rest = left + more


def propose_path(head: bytes) -> str | None:
    """Return the name of the only member of an object that is an array of objects, None if there is no such one.

    Args:
        head: the beginning of the object; what is beyond it is not considered.
    """
    depth, key, before = 0, "", b""
    arrays: list[str] = []
    opened = b""
    for token in _significant(match[0] for match in _TOKEN.finditer(head)):
        if depth == 1 and before in (b"{", b",") and token.startswith(b'"'):
            key = _text(token)
        if depth == 1 and before == b":":
            opened = token
        if depth == 2 and before == b"[" and opened == b"[" and token == b"{":
            arrays.append(key)
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        before = token
        if not depth:
            break
    return arrays[0] if len(arrays) == 1 and "." not in arrays[0] else None


def _each_byte(source: TextInput, read: bytearray) -> Iterator[bytes]:
    """Yield what is before the array byte by byte, since nothing behind its bracket may be taken from the stream."""
    while byte := source.stream.read(1):
        read += byte
        if len(read) > source.max_record_bytes:
            raise InvalidInput(f"{source.name}: the items do not begin within {source.max_record_bytes:,} bytes")
        yield byte


def _tokens(characters: Iterator[bytes]) -> Iterator[bytes]:
    """Yield strings and characters of structure; other values are left out."""
    for byte in characters:
        if byte == b'"':
            yield byte + _rest_of_string(characters)
        elif byte in b"[]{},:":
            yield byte


def _rest_of_string(characters: Iterator[bytes]) -> bytes:
    text = bytearray()
    for byte in characters:
        text += byte
        if byte == b'"':
            break
        if byte == b"\\":
            text += next(characters, b"")
    return bytes(text)


def _significant(tokens: Iterator[bytes]) -> Iterator[bytes]:
    return (token for token in tokens if token[:1] in b'"[]{},:')


def _text(token: bytes) -> str:
    try:
        return str(orjson.loads(token))
    except ValueError:
        return token.decode("utf-8", "replace")
