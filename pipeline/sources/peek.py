"""Looks at the beginning of a source: how it is read, what its columns hold, and what would be refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pipeline.domain.inputs.field_types import UNFIT, FieldType, convert
from pipeline.domain.payload import Record, Rejection, UnreadRecord, to_text
from pipeline.sources.files_source import FilesSource
from pipeline.sources.item_source import ItemSource
from pipeline.sources.read_report import ReadReport

#: What is read, at most.
MAX_ROWS = 1_000
MAX_BYTES = 4 * 1024 * 1024
#: Values of a column that are told apart, and shown.
_MAX_DISTINCT = 100
_EXAMPLES = 2
_SHOWN = 60
#: Tried in this order on values that are text.
_GUESSES = (FieldType.INTEGER, FieldType.NUMBER, FieldType.BOOLEAN, FieldType.INSTANT)
_TYPES = {bool: "boolean", int: "integer", float: "number", list: "list", dict: "object", str: "text"}


@dataclass(slots=True)
class Column:
    """What the values of a column are.

    Args:
        name: of the column.
        filled: number of rows with a value that is neither null nor empty.
        longest: characters of the longest text.
    """

    name: str
    filled: int = 0
    longest: int = 0
    distinct: set[str] = field(default_factory=set)
    examples: list[str] = field(default_factory=list)
    _kinds: set[str] = field(default_factory=set)
    _guesses: list[FieldType] = field(default_factory=lambda: list(_GUESSES))

    def add(self, value: Any) -> None:
        """Take a value into account."""
        if value is None or value == "":
            return
        self.filled += 1
        self._kinds.add(_TYPES.get(type(value), "text"))
        text = value if isinstance(value, str) else to_text(value)
        if isinstance(value, str):
            self.longest = max(self.longest, len(value))
            self._guesses = [kind for kind in self._guesses if _fits(value, kind)]
        if len(self.distinct) <= _MAX_DISTINCT and text not in self.distinct:
            self.distinct.add(text[: 4 * _SHOWN])
            if len(self.examples) < _EXAMPLES:
                self.examples.append(shorten(text))

    @property
    def type(self) -> str:
        """The type of all values; of text, the type that all of it could be converted to."""
        if self._kinds == {"text"} and self._guesses:
            return self._guesses[0]
        if self._kinds == {"integer", "number"}:
            return "number"
        return next(iter(self._kinds)) if len(self._kinds) == 1 else "mixed" if self._kinds else "empty"

    @property
    def proposed_type(self) -> str | None:
        """What to put into `[input.types]` to get values of `type`, None if they are."""
        return str(self._guesses[0]) if self._kinds == {"text"} and self._guesses else None


@dataclass(frozen=True, slots=True)
class Peek:
    """The beginning of a source.

    Args:
        items: its records and rejections.
        columns: of the records, in the order in which they occur.
        size: bytes of all files; None: not known.
        files: how many there are; None: the source has none.
        rows: how many it has in all; None: not known.
        is_whole: whether all was read, so that `rows` is exact.
        report: how it was read.
    """

    items: Sequence[Record | Rejection]
    columns: Sequence[Column]
    size: int | None
    files: int | None
    rows: int | None
    is_whole: bool
    report: ReadReport

    @property
    def records(self) -> list[Record]:
        """The items that were read."""
        return [item for item in self.items if isinstance(item, Record)]


def peek(source: ItemSource, report: ReadReport) -> Peek:
    """Read the beginning of a source, at most `MAX_ROWS` rows or `MAX_BYTES` bytes.

    Args:
        report: that the source was opened with.

    Raises:
        InvalidInput, SourceUnavailable: it cannot be read.
    """
    reading = source.read()
    items: list[Record | Rejection] = []
    size = 0
    try:
        for item in islice(reading, MAX_ROWS):
            items.append(item)
            size += len(item.encoded or to_text(item.payload)) if isinstance(item, Record) else len(item.text)
            if size > MAX_BYTES:
                break
        is_whole = next(reading, None) is None
    finally:
        reading.close()
    columns: dict[str, Column] = {}
    for item in items:
        if isinstance(item, Record):
            for name, value in item.payload.items():
                columns.setdefault(name, Column(name)).add(value)
    progress = source.progress()
    return Peek(
        items,
        list(columns.values()),
        progress.bytes_total,
        len(source.files) if isinstance(source, FilesSource) else None,
        len(items) if is_whole else _estimate(source, report, items),
        is_whole,
        report,
    )


def shorten(text: str) -> str:
    """Return a text on one line, and cut if it is long."""
    line = " ".join(text[: 2 * _SHOWN].split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _estimate(source: ItemSource, report: ReadReport, items: Sequence[Record | Rejection]) -> int | None:
    """Return how many rows a source probably has, by the mean size of those that were read."""
    if "rows" in report.facts and isinstance(source, FilesSource) and len(source.files) == 1:
        return int(report.facts["rows"].value)
    progress = source.progress()
    last = items[-1]
    after = last.after if isinstance(last, Record | UnreadRecord) else None
    read = after.byte if after is not None and after.byte and "compression" not in report.facts else progress.bytes_read
    if progress.bytes_total is None or not read or "archive" in report.facts or "sheet" in report.facts:
        return None
    return round(progress.bytes_total / read * len(items))


def _fits(value: str, kind: FieldType) -> bool:
    # Numbers with leading zeros are codes.
    digits = value.strip().lstrip("+-")
    is_code = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    return convert(value, kind) is not UNFIT and not (is_code and kind in (FieldType.INTEGER, FieldType.NUMBER))
