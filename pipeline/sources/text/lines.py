"""Splits a text into its physical lines."""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Iterator

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.errors import InvalidInput
from pipeline.sources.head_stream import HEAD_BYTES
from pipeline.sources.text.text_input import TextInput

#: The line's number from 1, the bytes before it in the input, and its bytes with the line end.
Line = tuple[int, int, bytes]

#: Ctrl-Z marks the end of a file of DOS; some exports still append it.
END_OF_FILE = b"\x1a"


#: Blank lines in a row after which further ones are skipped together.
_BLANK_LINES = 16


def number_lines(source: TextInput, after: InputCursor | None = None, *, skips_blank: bool = False) -> Iterator[Line]:
    """Yield each line; a line of more than `max_record_bytes` is truncated to one byte more.

    It is yielded before its end is sought, so that an input without line ends is refused at once.

    LF ends a line, and so does CR alone if `source.has_cr`.

    Args:
        after: where to go on.
        skips_blank: whether most lines of a long run of blank ones are counted in the report instead of yielded: there
            may be millions, one after another.
    """
    size = source.max_record_bytes + 1
    ends = (b"\r", b"\n") if source.has_cr else b"\n"
    number, offset, lines = _begin(source, after, ends, size)
    runs = _BlankRuns(source, lines) if skips_blank and isinstance(lines, io.BufferedReader) else None
    while raw := lines.readline(size):
        number += 1
        start = offset
        offset += len(raw)
        if raw.endswith(ends):
            yield number, start, raw
            if runs is not None:
                skipped, skipped_bytes = runs.skip(raw)
                number, offset = number + skipped, offset + skipped_bytes
            continue
        rest = raw
        if len(raw) < size:
            raw = raw.rstrip(END_OF_FILE)
        if raw:
            yield number, start, raw
        while len(rest) == size and not rest.endswith(ends):
            rest = lines.readline(size)
            offset += len(rest)


def _begin(
    source: TextInput, after: InputCursor | None, ends: bytes | tuple[bytes, ...], size: int
) -> tuple[int, int, io.BufferedReader | _UniversalLines]:
    """Return the number of lines and bytes before the first line to read, and what to read lines from."""
    number, offset, stream = 0, source.first_offset, source.stream
    if after is not None and after.byte > offset:
        number, offset, stream = after.line, after.byte, _reopen(source, after)
    lines = _UniversalLines(stream) if source.has_cr else stream
    if number:
        offset += _skip_rest(lines, ends, size)
    return number, offset, lines


class _BlankRuns:
    """Skips what is left of a long run of blank lines, and counts it in the report."""

    def __init__(self, source: TextInput, stream: io.BufferedReader) -> None:
        self._report, self._stream, self._length = source.report, stream, 0

    def skip(self, line: bytes) -> tuple[int, int]:
        """Skip blank lines behind one if many came before. Return their number and their bytes."""
        self._length = self._length + 1 if line.isspace() else 0
        if self._length < _BLANK_LINES:
            return 0, 0
        head = self._stream.peek()
        end = head.rfind(b"\n", 0, len(head) - len(head.lstrip())) + 1
        self._stream.read(end)
        skipped = head.count(b"\n", 0, end)
        self._report.blank_rows += skipped
        return skipped, end


def strip_mark(line: Line) -> Line:
    """Return a line without the byte order mark at its beginning, which it has where files were concatenated."""
    number, offset, raw = line
    if not raw.startswith(BOM_UTF8):
        return line
    stripped = raw.removeprefix(BOM_UTF8)
    return number, offset + len(raw) - len(stripped), stripped


def ends_with_cr(stream: io.BufferedReader) -> bool:
    """Return whether CR alone ends lines, as the beginning of a text shows.

    It does if the first 64 KiB contain CR but no LF, or if the first line contains CR outside quotes.
    """
    first, line_end, _ = stream.peek()[:HEAD_BYTES].partition(b"\n")
    outside_quotes = b"".join(first.split(b'"')[::2]) if line_end else first
    return b"\r" in outside_quotes.removesuffix(b"\r" if line_end else b"")


def _reopen(source: TextInput, after: InputCursor) -> io.BufferedReader:
    """Return the text from the byte before a cursor, by which `_skip_rest` knows whether a line ended there."""
    if source.reopen is None:
        raise InvalidInput(f"{source.name} cannot be read from the middle; read it from its beginning")
    return source.reopen(after.byte - 1)


def _skip_rest(lines: io.BufferedReader | _UniversalLines, ends: bytes | tuple[bytes, ...], size: int) -> int:
    """Skip the rest of a line of which too much was read to keep it. Return how many bytes it has."""
    skipped = 0
    raw = lines.readline(1)
    while raw and not raw.endswith(ends):
        raw = lines.readline(size)
        skipped += len(raw)
    return skipped


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
