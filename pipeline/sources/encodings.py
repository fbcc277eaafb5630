"""Converts text in any encoding to UTF-8, which is all that the readers see.

Bytes that are invalid in the source encoding become bytes that are invalid in UTF-8, so that only the record with them
is rejected.
"""

from __future__ import annotations

import codecs
import encodings.aliases
import io
from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput

UTF8 = "utf-8"

#: Longest first, because the byte order mark of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK_BYTES = 64 * 1024
_BAD_BYTES = "pipeline.bad-bytes"


def normalize_encoding(name: str) -> str:
    """Return Python's standard name of an encoding.

    Raises:
        InvalidInput: there is no such encoding.
    """
    try:
        "a".encode(name)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        suggestion = hint(name, {*encodings.aliases.aliases.values(), *encodings.aliases.aliases})
        raise InvalidInput(f"unknown encoding {name!r}{suggestion}; try utf-8, utf-16, cp1252 or latin-1") from None
    standard = codecs.lookup(name).name
    return UTF8 if standard == "utf-8-sig" else standard


def detect_encoding(stream: io.BufferedReader) -> str:
    """Return the encoding that the byte order mark indicates; UTF-8 if there is none."""
    head = stream.peek(4)
    return next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), UTF8)


def convert_to_utf8(stream: io.BufferedReader, encoding: str) -> io.BufferedReader:
    """Return a stream with the text of `stream` as UTF-8, without a byte order mark."""
    if encoding != UTF8:
        stream = io.BufferedReader(_Utf8Stream(stream, encoding), 4 * _CHUNK_BYTES)
    if stream.peek(3).startswith(codecs.BOM_UTF8):
        stream.read(3)
    return stream


def describe_decode_error(error: UnicodeDecodeError, encoding: str, offset: int) -> str:
    """Return the reason to reject a record that begins at byte `offset` of the input."""
    advice = "if the file is not {}, name its encoding with --encoding, for example --encoding cp1252"
    if encoding == UTF8:
        bad = error.object[error.start]
        return f"byte {offset + error.start:,} of the input (0x{bad:02x}) is not valid UTF-8; {advice.format('UTF-8')}"
    # `_mark_bad_bytes` turned byte b into U+DC00 + b, whose UTF-8 has three bytes; the last two contain b.
    second, third = error.object[error.start + 1 : error.start + 3]
    column = len(error.object[: error.start].decode("utf-8", "replace")) + 1
    bad = ((second & 0x3F) << 6 | third & 0x3F) & 0xFF
    return f"column {column:,} (byte 0x{bad:02x}) is not valid {encoding}; {advice.format(encoding)}"


class _Utf8Stream(io.RawIOBase):
    """A stream in any encoding, read as UTF-8."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors=_BAD_BYTES)
        self._decoded = memoryview(b"")
        self._has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._decoded and not self._has_ended:
            chunk = self._stream.read1(_CHUNK_BYTES)
            self._has_ended = not chunk
            text = self._decoder.decode(chunk, self._has_ended)
            self._decoded = memoryview(text.encode("utf-8", "surrogatepass"))
        buffer = memoryview(target).cast("B")
        size = min(len(buffer), len(self._decoded))
        buffer[:size] = self._decoded[:size]
        self._decoded = self._decoded[size:]
        return size


def _mark_bad_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end


codecs.register_error(_BAD_BYTES, _mark_bad_bytes)
