"""How to read a source, as the user says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self

from pipeline.domain.payload import MAX_PAYLOAD_BYTES
from pipeline.errors import InvalidInput
from pipeline.sources.format import BINARY_FORMATS, InputFormat, parse_format
from pipeline.sources.source_access import SourceAccess
from pipeline.sources.text import encodings
from pipeline.sources.text.csv_header import HeaderRules
from pipeline.sources.text.table_options import TableOptions
from pipeline.sources.unpack_guard import MAX_RATIO

BinaryValues = Literal["refuse", "utf8", "base64"]
NanValues = Literal["refuse", "null"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a source. Every option has the default of the command line.

    Args:
        format: one of `InputFormat`; None: that of the suffix, of the server, or of the first bytes.
        encoding: Python's name of the text encoding; None: that of the byte order mark, or UTF-8.
        header: what to do about a header that repeats a name or lacks one.
        table: how a text table is written.
        items: names of the members, separated by dots, that lead to the array of items inside a JSON object.
        member: glob of the members of an archive to read; None: those whose suffix is that of a format.
        max_ratio: what a file may unpack to, as a multiple of its size.
        sheet: name or number, from 1, of a workbook's sheet; None: the first that is visible.
        query: what to read from a database: one SELECT.
        order_by: the column of the query's rows by which it goes on after an interruption: unique and never NULL.
        binary: what to do about a column of bytes in Parquet, Arrow or a database.
        nan: what to do about NaN and infinity in Parquet, Arrow or a database.
        max_bytes: size limit of one payload as compact JSON.
        access: what may be reached.
        name: of the source in messages; None: its path or URL.
    """

    format: str | None = None
    encoding: str | None = None
    header: HeaderRules = field(default_factory=HeaderRules)
    table: TableOptions = field(default_factory=TableOptions)
    items: str | None = None
    member: str | None = None
    max_ratio: int = MAX_RATIO
    sheet: str | None = None
    query: str | None = None
    order_by: str | None = None
    binary: BinaryValues = "refuse"
    nan: NanValues = "refuse"
    max_bytes: int = MAX_PAYLOAD_BYTES
    access: SourceAccess = field(default_factory=SourceAccess)
    name: str | None = None

    def checked(self) -> Self:
        """Return them with the standard names of the format and the encoding.

        Raises:
            InvalidInput: one of them is unknown, or they contradict each other.
        """
        format = None if self.format is None else parse_format(self.format)
        encoding = None if self.encoding is None else encodings.normalize_encoding(self.encoding)
        if self.items is not None and format not in (None, InputFormat.JSON):
            raise InvalidInput(f"--items names an array in JSON; it has no effect on {format}")
        if self.order_by is not None and self.query is None:
            raise InvalidInput("--order-by names a column of a query; give one with --query")
        if encoding is not None and format in BINARY_FORMATS:
            raise InvalidInput(f"{format} is no text, so that --encoding has no effect on it")
        if format in (InputFormat.JSON, InputFormat.JSONL) and self.table != TableOptions():
            raise InvalidInput(f"the input is {format}, so that options of tables have no effect on it; leave them out")
        return replace(self, format=format, encoding=encoding, table=self.table.checked())

    def describe(self) -> dict[str, Any]:
        """Return the options that decide which items the same bytes make, without those that have their defaults."""
        default = ReadOptions()
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _NOT_READING}
        return {name: _to_json(value) for name, value in given.items() if value != getattr(default, name)}


#: Options that do not change what is read.
_NOT_READING = ("access", "max_ratio", "name")


def _to_json(value: Any) -> Any:
    if isinstance(value, HeaderRules | TableOptions):
        return {name: sorted(each) if isinstance(each, frozenset) else each for name, each in asdict(value).items()}
    return str(value) if isinstance(value, str) else value
