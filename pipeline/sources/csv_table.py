"""CSV: a header, then one row an item; every value is text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain, dropwhile

from pipeline.domain import payload
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.encodings import undecodable
from pipeline.sources.input_position import InputPosition
from pipeline.sources.json_lines import numbered
from pipeline.sources.text_input import TextInput

#: In order of preference where the first line can be read with several.
DELIMITERS = ",;\t|"


def read_table(given: TextInput, delimiter: str | None = None) -> Iterator[Record | Rejection]:
    """Yield what each row holds. Without `delimiter`, the one that cuts the header into most fields is taken.

    Raises:
        InvalidInput: the header cannot be read, has a field without a name, or the same name twice.
    """
    # The limit is the process's and ours is higher than the default; it only ever grows.
    csv.field_size_limit(max(csv.field_size_limit(), given.max_bytes))
    rows = _Rows(given, delimiter)
    header = _header(rows, given.name)
    for row in rows:
        fault = rows.fault or _misfit(row, header)
        accepted = dict(zip(header, row, strict=False))
        fault = fault or payload.find_problem(accepted, max_bytes=given.max_bytes)
        if fault is None:
            yield Record(rows.line, accepted)
        else:
            yield Rejection(rows.line, fault + rows.span(), rows.text.rstrip())


class _Rows:
    """Rows of fields; `line`, `text` and `fault` are about the row that was read last."""

    def __init__(self, given: TextInput, delimiter: str | None) -> None:
        self._given = given
        self.line = self._last = 0
        self._parts: list[str] = []
        self.fault: str | None = None
        self._lines: Iterator[tuple[InputPosition, bytes]] = dropwhile(_is_blank, numbered(given))
        self.delimiter = delimiter or self._sniffed()
        self._reader = csv.reader(self._decoded(), delimiter=self.delimiter, strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        while True:
            self._forget()
            try:
                row = next(self._reader, None)
            except csv.Error as error:
                row, self.fault = [], self.fault or _explained(error)
            if row is None:
                return
            if self.fault or any(map(str.strip, row)):
                yield row

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def span(self) -> str:
        """Return which lines the row covers, where it is more than one."""
        return f" (lines {self.line} to {self._last})" if self._last > self.line else ""

    def _forget(self) -> None:
        self.line = self._last = 0
        self._parts, self.fault = [], None

    def _decoded(self) -> Iterator[str]:
        for place, raw in self._lines:
            text = self._decode(raw, place)
            self.line, self._last = self.line or place.line, place.line
            self._parts.append(text)
            yield text

    def _decode(self, raw: bytes, place: InputPosition) -> str:
        if len(raw) > self._given.max_record_bytes:
            self.fault = self._given.too_long
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self.fault = self.fault or undecodable(error, self._given.encoding, place.offset)
            return raw.decode("utf-8", "backslashreplace")

    def _sniffed(self) -> str:
        place, raw = next(self._lines, (InputPosition(), b""))
        self._lines = chain([(place, raw)] if raw else [], self._lines)
        first = raw.decode("utf-8", "replace").replace("\r", " ")
        return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([first], delimiter=delimiter), [])))


def _is_blank(line: tuple[InputPosition, bytes]) -> bool:
    return line[1].isspace()


def _header(rows: _Rows, name: str) -> list[str]:
    header = [field.strip() for field in next(iter(rows), [])]
    fault = rows.fault
    if "" in header:
        fault = fault or f"column {header.index('') + 1} of the header has no name; name it or remove the column"
    twice = next((field for field in header if header.count(field) > 1), None)
    if twice is not None:
        fault = fault or f"the header names {twice!r} twice; names must differ"
    if fault is not None:
        raise InvalidInput(f"{name}, line {rows.line}: {fault}")
    return header


def _misfit(row: list[str], header: list[str]) -> str | None:
    if len(row) == len(header):
        return None
    fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
    return f"{fields} where the header has {len(header)}; a field that contains the delimiter needs quotes"


def _explained(error: csv.Error) -> str:
    said = str(error)
    return next((reason for begin, reason in _REASONS.items() if begin in said), said)


_REASONS = {
    "field larger than": "a field is longer than a payload may be; is a closing quote missing?",
    "unexpected end of data": "the input ends inside a quoted field; is a closing quote missing?",
    "expected after": "text follows a closing quote; inside a quoted field, write a quote twice",
    "new-line character": "a carriage return stands alone; save the file with LF or CRLF at the ends of lines",
}
