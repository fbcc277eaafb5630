"""Splits a text into its physical lines."""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Iterator

from pipeline.sources.head_stream import HEAD_BYTES
from pipeline.sources.text_input import TextInput

#: The line's number from 1, the bytes before it in the input, and its bytes with the line end.
Line = tuple[int, int, bytes]

#: Ctrl-Z marks the end of a file of DOS; some exports still append it.
END_OF_FILE = b"\x1a"


def number_lines(source: TextInput) -> Iterator[Line]:
    """Yield each line; a line of more than `max_record_bytes` is truncated to one byte more.

    It is yielded before its end is sought, so that an input without line ends is refused at once.

    LF ends a line. CR alone ends one as well if the first 64 KiB contain CR but no LF, or the first line contains CR
    outside quotes.
    """
    size = source.max_record_bytes + 1
    lines, ends = _open_lines(source.stream)
    number, offset = 0, source.first_offset
    while raw := lines.readline(size):
        number += 1
        start = offset
        offset += len(raw)
        if raw.endswith(ends):
            yield number, start, raw
            continue
        rest = raw
        if len(raw) < size:
            raw = raw.rstrip(END_OF_FILE)
        if raw:
            yield number, start, raw
        while len(rest) == size and not rest.endswith(ends):
            rest = lines.readline(size)
            offset += len(rest)


def strip_mark(line: Line) -> Line:
    """Return a line without the byte order mark at its beginning, which it has where files were concatenated."""
    number, offset, raw = line
    if not raw.startswith(BOM_UTF8):
        return line
    stripped = raw.removeprefix(BOM_UTF8)
    return number, offset + len(raw) - len(stripped), stripped


def _open_lines(stream: io.BufferedReader) -> tuple[io.BufferedReader | _UniversalLines, bytes | tuple[bytes, bytes]]:
    first, line_end, _ = stream.peek()[:HEAD_BYTES].partition(b"\n")
    outside_quotes = b"".join(first.split(b'"')[::2]) if line_end else first
    if b"\r" in outside_quotes.removesuffix(b"\r" if line_end else b""):
        return _UniversalLines(stream), (b"\r", b"\n")
    return stream, b"\n"


class _UniversalLines:
    """Lines that end with CR, LF or CRLF."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._rest = b""

    def readline(self, size: int) -> bytes:
        """Return the next line, or its next `size` bytes; nothing at the end."""
        while not self._lines and len(self._rest) <= size and (chunk := self._stream.read1(HEAD_BYTES)):
            # The last line may go on in the next chunk, which may also begin with the LF of a CRLF.
            *complete, self._rest = (self._rest + chunk).splitlines(keepends=True)
            self._lines.extend(complete)
        if not self._lines:
            line, self._rest = self._rest[:size], self._rest[size:]
            return line
        line = self._lines.popleft()
        if len(line) > size:
            self._lines.appendleft(line[size:])
        return line[:size]
