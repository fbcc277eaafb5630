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
UTF16 = "utf-16"
UTF32 = "utf-32"

#: Longest first, because the byte order mark of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, UTF32),
    (codecs.BOM_UTF32_BE, UTF32),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, UTF16),
    (codecs.BOM_UTF16_BE, UTF16),
)
_ESCAPES = (
    ((b"\x1b$B", b"\x1b$@"), "iso2022_jp"),
    ((b"\x1b$)C",), "iso2022_kr"),
)
_CHUNK_BYTES = 64 * 1024
_ENCODINGS = frozenset({*encodings.aliases.aliases.values(), *encodings.aliases.aliases})
_BAD_BYTES = "pipeline.bad-bytes"
#: Least share of characters that are ASCII in text that looks like UTF-16.
_ZERO_SHARE = 0.1


#: Codecs of Python that write text as other text.
_NOTATIONS = frozenset(
    {"unicode-escape", "raw-unicode-escape", "unicode_escape", "raw_unicode_escape", "idna", "punycode"}
)


def normalize_encoding(name: str) -> str:
    """Return Python's standard name of an encoding.

    Raises:
        InvalidInput: there is no such encoding, or no file is written in it.
    """
    try:
        "a".encode(name)
        # Some, such as idna, take no handler of errors.
        codecs.getincrementaldecoder(name)(_BAD_BYTES).decode(b"a")
    except (LookupError, ValueError):
        suggestion = "" if _has_codec(name) else hint(name, _ENCODINGS)
        raise InvalidInput(f"unknown encoding {name!r}{suggestion}; try utf-8, utf-16, cp1252 or latin-1") from None
    standard = codecs.lookup(name).name
    if standard in _NOTATIONS:
        raise InvalidInput(f"{name!r} is a notation for text, not an encoding of files; try utf-8, cp1252 or latin-1")
    return UTF8 if standard == "utf-8-sig" else standard


def _has_codec(name: str) -> bool:
    """Return whether Python has a codec of that name, such as base64, which is no encoding of text."""
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return True


def detect_encoding(head: bytes) -> str | None:
    """Return the encoding that a byte order mark at the beginning indicates, None if there is none."""
    return next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), None)


def guess_unmarked(head: bytes) -> str | None:
    """Return the encoding of text in UTF-16 or UTF-32 without a byte order mark, None if it does not look like one.

    The zero bytes of its ASCII characters, such as line ends and delimiters, all stand in the same places.
    """
    for width, byte_orders in ((4, ("utf-32-le", "utf-32-be")), (2, ("utf-16-le", "utf-16-be"))):
        text = head[: len(head) // width * width]
        zeros = [text[place::width].count(0) for place in range(width)]
        for encoding, (character, *padding) in zip(byte_orders, (zeros, zeros[::-1]), strict=True):
            if not character and min(padding) * width > _ZERO_SHARE * len(text) and _looks_wide(text, width, encoding):
                return encoding
    return None


def guess_escaped(head: bytes) -> str | None:
    """Return the encoding of East Asian text that switches character sets by escape sequences, None if there are none.

    All of its bytes are ASCII, so reading it as UTF-8 would give wrong characters without an error.
    """
    return next((name for escapes, name in _ESCAPES if any(escape in head for escape in escapes)), None)


def _looks_wide(text: bytes, width: int, encoding: str) -> bool:
    """Return whether zero bytes are halves of characters, not characters in a text of UTF-8."""
    try:
        codecs.getincrementaldecoder(UTF8)().decode(text)
    except UnicodeDecodeError:
        return "\n" in text.decode(encoding, "ignore")
    return text[:width].count(0) == width - 1


def convert_to_utf8(stream: io.BufferedReader, encoding: str) -> io.BufferedReader:
    """Return a stream with the text of `stream` as UTF-8."""
    if encoding == UTF8:
        return stream
    return io.BufferedReader(_Utf8Stream(stream, encoding), 4 * _CHUNK_BYTES)


def check_byte_order_mark(head: bytes, encoding: str, name: str) -> None:
    """Refuse a text whose byte order mark contradicts `encoding`.

    Raises:
        InvalidInput: names the encoding that the mark indicates.
    """
    marked = detect_encoding(head)
    if marked is not None and not _decode_beginning(head, encoding).startswith("\ufeff"):
        raise InvalidInput(
            f"{name} begins with the byte order mark of {marked.upper()}, not of {encoding}; leave out --encoding"
        )


def _decode_beginning(head: bytes, encoding: str) -> str:
    if encoding in (UTF16, UTF32):
        # These decoders drop the mark.
        return "\ufeff" if detect_encoding(head) == encoding else ""
    try:
        return codecs.getincrementaldecoder(encoding)("ignore").decode(head[:4])
    except UnicodeError:
        return ""


def skip_byte_order_mark(stream: io.BufferedReader) -> int:
    """Skip the byte order mark of a text in UTF-8, and return its number of bytes; some tools write it twice."""
    skipped = 0
    while stream.peek(3).startswith(codecs.BOM_UTF8):
        skipped += len(stream.read(3))
    return skipped


def describe_decode_error(error: UnicodeDecodeError, encoding: str, offset: int) -> str:
    """Return which byte of a record that begins at byte `offset` of the input is invalid."""
    if encoding == UTF8:
        bad = error.object[error.start]
        return f"byte {offset + error.start:,} of the input (0x{bad:02x}) is not valid UTF-8"
    # `_mark_bad_bytes` turned byte b into U+DC00 + b, whose UTF-8 has three bytes; the last two contain b.
    second, third = error.object[error.start + 1 : error.start + 3]
    column = len(error.object[: error.start].decode("utf-8", "replace")) + 1
    bad = ((second & 0x3F) << 6 | third & 0x3F) & 0xFF
    return f"column {column:,} (byte 0x{bad:02x}) is not valid {encoding}"


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
