"""Splits the lines of a text table into rows. A fault of quotes costs one line, not the rest of the input."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.sources.text.lines import Line, strip_mark
from pipeline.sources.text.text_input import TextInput


@dataclass(frozen=True, slots=True)
class TableDialect:
    """How a table separates its fields.

    Args:
        delimiter: one character.
        has_quotes: whether quotes enclose fields; otherwise they are text.
        skips_spaces: whether spaces after a delimiter are dropped, so that a quote after them encloses the field.
        quote: the character that encloses fields.
        escape: the character that makes the one behind it text.
        comment: what lines begin with that are no rows.
        strips_nul: whether NUL characters are left out.
    """

    delimiter: str
    has_quotes: bool = True
    skips_spaces: bool = False
    quote: str = '"'
    escape: str | None = None
    comment: bytes | None = None
    strips_nul: bool = False


class CsvRows:
    """Yields each row as a list of fields; `line` and `problem` describe the row that was yielded last.

    If a quote does not close properly, only the line where its row begins is refused, and the next row begins on the
    next line. Until then the row's lines are kept: at most `max_record_bytes`.

    Args:
        failed_until: the last line of a row that failed before the first of `lines`.
    """

    def __init__(
        self, source: TextInput, lines: Iterable[Line], dialect: TableDialect, *, failed_until: int = 0
    ) -> None:
        self._source = source
        self._dialect = dialect
        self._lines = iter(lines)
        #: The lines of the current row, and those to read again after a fault.
        self._taken: list[Line] = []
        self._pending: deque[Line] = deque()
        #: The last line of the row that failed last.
        self._failed_until = failed_until
        self.problem: str | None = None
        #: Comments that were skipped since the last `take_comments`.
        self.comments = 0

    def __iter__(self) -> Iterator[list[str]]:
        taken = self._taken
        reader = self._open_reader()
        while True:
            taken.clear()
            self.problem = None
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._recover(error)
                row, reader = [], self._open_reader()
            if row is None:
                return
            yield row

    @property
    def line(self) -> int:
        """The number of the row's first line."""
        return self._taken[0][0]

    @property
    def text(self) -> str:
        """The row as it was read."""
        return b"".join(raw for _, _, raw in self._taken).decode("utf-8", "backslashreplace").rstrip("\r\n")

    def take_comments(self) -> int:
        """Return how many comments were skipped since the last call."""
        count, self.comments = self.comments, 0
        return count

    def after(self) -> InputCursor | None:
        """Return where the next row begins."""
        last, offset, raw = self._taken[-1]
        open_until = self._failed_until if self._failed_until > last else 0
        return self._source.position.after_line(last, offset + len(raw), open_until=open_until)

    def span(self) -> str:
        """Return the range of lines for messages, or an empty string if the row is on one line."""
        last = self._taken[-1][0]
        return f" (lines {self.line} to {last})" if last > self.line else ""

    def _open_reader(self) -> Iterator[list[str]]:
        return csv.reader(
            self._feed(),
            delimiter=self._dialect.delimiter,
            quotechar=self._dialect.quote,
            escapechar=self._dialect.escape,
            quoting=csv.QUOTE_MINIMAL if self._dialect.has_quotes else csv.QUOTE_NONE,
            skipinitialspace=self._dialect.skips_spaces,
            strict=True,
        )

    def _feed(self) -> Iterator[str]:
        taken, pending, lines = self._taken, self._pending, self._lines
        max_bytes = self._source.max_record_bytes
        comment, strips_nul = self._dialect.comment, self._dialect.strips_nul
        while True:
            line = pending.popleft() if pending else next(lines, None)
            if line is None:
                return
            if taken and self._must_fail(line):
                # The reader takes this for the end of the input, inside a quoted field.
                pending.appendleft(line)
                return
            if not taken:
                line = strip_mark(line)
                if comment is not None and line[2].startswith(comment):
                    self.comments += 1
                    continue
            taken.append(line)
            raw = line[2].replace(b"\0", b"") if strips_nul else line[2]
            if len(raw) > max_bytes:
                self.problem = self._source.too_long
            try:
                yield raw.decode()
            except UnicodeDecodeError as error:
                self.problem = self.problem or self._source.explain_bad_bytes(error, line[1])
                yield raw.decode("utf-8", "backslashreplace")

    def _must_fail(self, line: Line) -> bool:
        """Return whether a row that goes on with `line` cannot end properly, or is too long."""
        # Inside a quoted field, every row goes on like the failed row, which went through this line inside one, too.
        # Without this, a file in which every line opens a quote would be read once per line.
        if line[0] <= self._failed_until:
            return True
        _, first_offset, _ = self._taken[0]
        return line[1] + len(line[2]) - first_offset > self._source.max_record_bytes

    def _recover(self, error: csv.Error) -> None:
        """Refuse the first line of the row, and put the others back."""
        (first, _, _), *others = self._taken
        last = self._taken[-1][0]
        is_too_long = bool(self._pending) and self._pending[0][0] > self._failed_until
        self._failed_until = max(self._failed_until, last)
        self._pending.extendleft(reversed(others))
        del self._taken[1:]
        if others:
            self.problem = _explain_quote(first, last, error)
        elif self.problem is None:
            is_open = _UNEXPECTED_END in str(error)
            self.problem = _explain_quote(first, None, error) if is_open else _explain(error)
        if is_too_long and self.problem.endswith(_NOT_CLOSED):
            self.problem += f" within {self._source.max_record_bytes:,} bytes"
        if self._pending and _QUOTE_OPENS in self.problem:
            self.problem += f"; this line is refused and reading goes on at line {first + 1}"


_QUOTE_OPENS = "a quote opens on line"
_NOT_CLOSED = "does not close"
_UNEXPECTED_END = "unexpected end of data"
_TEXT_AFTER_QUOTE = "expected after"


def _explain_quote(first: int, last: int | None, error: csv.Error) -> str:
    fault = f"text follows its end on line {last}" if _TEXT_AFTER_QUOTE in str(error) else _NOT_CLOSED
    return f"{_QUOTE_OPENS} {first} and {fault}"


def _explain(error: csv.Error) -> str:
    message = str(error)
    return next((explanation for part, explanation in _EXPLANATIONS.items() if part in message), message)


#: By a part of the csv module's own message.
_EXPLANATIONS = {
    _TEXT_AFTER_QUOTE: "text follows a closing quote; inside a quoted field, double the quotes",
    "new-line character": "there is a carriage return without a line feed; save the file with LF or CRLF line ends",
}
