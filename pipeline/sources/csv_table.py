"""Reads CSV: a header, then one item per row; every value is text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain, dropwhile

from pipeline.domain import payload
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.encodings import describe_decode_error
from pipeline.sources.input_position import InputPosition
from pipeline.sources.json_lines import number_lines
from pipeline.sources.text_input import TextInput

#: In order of preference, if several fit the header.
DELIMITERS = ",;\t|"


def read_table(source: TextInput, delimiter: str | None = None) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row.

    Args:
        delimiter: defaults to the one that splits the header into the most fields.

    Raises:
        InvalidInput: the header cannot be read, has a column without a name, or has the same name twice.
    """
    # This limit applies to the whole process, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), source.max_bytes))
    rows = _Rows(source, delimiter)
    header = _read_header(rows, source.name)
    for row in rows:
        problem = rows.problem or _length_problem(row, header)
        item = dict(zip(header, row, strict=False))
        problem = problem or payload.find_problem(item, max_bytes=source.max_bytes)
        if problem is None:
            yield Record(rows.line, item)
        else:
            yield Rejection(rows.line, problem + rows.span(), rows.text.rstrip())


class _Rows:
    """The rows as lists of fields; `line`, `text` and `problem` describe the row read last."""

    def __init__(self, source: TextInput, delimiter: str | None) -> None:
        self._source = source
        self.line = self._last_line = 0
        self._parts: list[str] = []
        self.problem: str | None = None
        self._lines: Iterator[tuple[InputPosition, bytes]] = dropwhile(_is_blank, number_lines(source))
        self.delimiter = delimiter or self._detect_delimiter()
        self._reader = csv.reader(self._decode_lines(), delimiter=self.delimiter, strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        while True:
            self._reset()
            try:
                row = next(self._reader, None)
            except csv.Error as error:
                row, self.problem = [], self.problem or _explain(error)
            if row is None:
                return
            if self.problem or any(map(str.strip, row)):
                yield row

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def span(self) -> str:
        """Return the range of lines for messages, or an empty string if the row is on one line."""
        return f" (lines {self.line} to {self._last_line})" if self._last_line > self.line else ""

    def _reset(self) -> None:
        self.line = self._last_line = 0
        self._parts, self.problem = [], None

    def _decode_lines(self) -> Iterator[str]:
        for position, raw in self._lines:
            text = self._decode(raw, position)
            self.line, self._last_line = self.line or position.line, position.line
            self._parts.append(text)
            yield text

    def _decode(self, raw: bytes, position: InputPosition) -> str:
        if len(raw) > self._source.max_record_bytes:
            self.problem = self._source.too_long
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self.problem = self.problem or describe_decode_error(error, self._source.encoding, position.offset)
            return raw.decode("utf-8", "backslashreplace")

    def _detect_delimiter(self) -> str:
        position, raw = next(self._lines, (InputPosition(), b""))
        self._lines = chain([(position, raw)] if raw else [], self._lines)
        header = raw.decode("utf-8", "replace").replace("\r", " ")
        return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def _is_blank(line: tuple[InputPosition, bytes]) -> bool:
    return line[1].isspace()


def _read_header(rows: _Rows, name: str) -> list[str]:
    header = [field.strip() for field in next(iter(rows), [])]
    problem = rows.problem
    if "" in header:
        problem = problem or f"column {header.index('') + 1} of the header has no name; name it or remove the column"
    duplicate = next((field for field in header if header.count(field) > 1), None)
    if duplicate is not None:
        problem = problem or f"the header has {duplicate!r} twice; names must differ"
    if problem is not None:
        raise InvalidInput(f"{name}, line {rows.line}: {problem}")
    return header


def _length_problem(row: list[str], header: list[str]) -> str | None:
    if len(row) == len(header):
        return None
    fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
    return f"{fields} where the header has {len(header)}; a field that contains the delimiter needs quotes"


def _explain(error: csv.Error) -> str:
    message = str(error)
    return next((explanation for part, explanation in _EXPLANATIONS.items() if part in message), message)


#: By a part of the csv module's own message.
_EXPLANATIONS = {
    "field larger than": "a field is longer than a payload may be; is a closing quote missing?",
    "unexpected end of data": "the input ends inside a quoted field; is a closing quote missing?",
    "expected after": "text follows a closing quote; inside a quoted field, double the quotes",
    "new-line character": "there is a carriage return without a line feed; save the file with LF or CRLF line ends",
}
