"""Encodings: whatever a file is written in, readers see UTF-8.

Bytes that an encoding does not allow become bytes that UTF-8 does not allow, so that the record that holds them is
refused and no other.
"""

from __future__ import annotations

import codecs
import encodings.aliases
import io
from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput

UTF8 = "utf-8"

#: Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK_BYTES = 64 * 1024
_BAD_BYTES = "pipeline.bad-bytes"


def known(name: str) -> str:
    """Return the encoding's usual name; raises InvalidInput where Python knows none of this name."""
    try:
        "a".encode(name)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        near = hint(name, {*encodings.aliases.aliases.values(), *encodings.aliases.aliases})
        raise InvalidInput(f"unknown encoding {name!r}{near}; try utf-8, utf-16, cp1252 or latin-1") from None
    usual = codecs.lookup(name).name
    return UTF8 if usual == "utf-8-sig" else usual


def detect(stream: io.BufferedReader) -> str:
    """Return the encoding that a byte order mark says, else UTF-8."""
    head = stream.peek(4)
    return next((name for mark, name in _MARKS if head.startswith(mark)), UTF8)


def as_utf8(stream: io.BufferedReader, encoding: str) -> io.BufferedReader:
    """Return `stream` as UTF-8 without a byte order mark."""
    if encoding != UTF8:
        stream = io.BufferedReader(_Recoded(stream, encoding), 4 * _CHUNK_BYTES)
    if stream.peek(3).startswith(codecs.BOM_UTF8):
        stream.read(3)
    return stream


def undecodable(error: UnicodeDecodeError, encoding: str, offset: int) -> str:
    """Return the reason to refuse a record that begins at byte `offset` of the input."""
    hint = "if the file is not {}, name its encoding with --encoding, for example --encoding cp1252"
    if encoding == UTF8:
        bad = error.object[error.start]
        return f"byte {offset + error.start:,} of the input (0x{bad:02x}) is not valid UTF-8; " + hint.format("UTF-8")
    # Byte b was marked as U+DC00 + b, which takes three bytes; the last two hold b.
    second, third = error.object[error.start + 1 : error.start + 3]
    column = len(error.object[: error.start].decode("utf-8", "replace")) + 1
    bad = ((second & 0x3F) << 6 | third & 0x3F) & 0xFF
    return f"column {column:,} (byte 0x{bad:02x}) is not valid {encoding}; " + hint.format(encoding)


class _Recoded(io.RawIOBase):
    """Text in any encoding, read as UTF-8."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors=_BAD_BYTES)
        self._ready = memoryview(b"")
        self._has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._ready and not self._has_ended:
            chunk = self._stream.read1(_CHUNK_BYTES)
            self._has_ended = not chunk
            text = self._decoder.decode(chunk, self._has_ended)
            self._ready = memoryview(text.encode("utf-8", "surrogatepass"))
        into = memoryview(target).cast("B")
        size = min(len(into), len(self._ready))
        into[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


def _mark_bad_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end


codecs.register_error(_BAD_BYTES, _mark_bad_bytes)
