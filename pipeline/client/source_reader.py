"""Sources of items for Python: what `pipeline run` reads, as an argument of `submit`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from pipeline.domain.bounds import invalid
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources import HeaderRules, ReadOptions, ReadReport, TableOptions, open_source


class SourceReader:
    """Items to read. Made by `read`; give it to `submit`, or iterate over its payloads."""

    def __init__(self, locations: Sequence[str | Path], **options: Any) -> None:
        self._locations, self._options = locations, ReadOptions(**options)

    def __repr__(self) -> str:
        return f"SourceReader({', '.join(map(str, self._locations))})"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the payloads from the beginning.

        Raises:
            InvalidInput: The source cannot be read, or a row of it cannot be an item.
        """
        with closing(self._records()) as records:
            for each in records:
                if isinstance(each, Rejection):
                    raise InvalidInput(f"{each.place}: {each.reason}")
                yield each.payload

    def _records(self) -> Generator[Record | Rejection, None, None]:
        return open_source(self._locations, self._options, ReadReport()).read()


def read(
    source: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,
    encoding: str | None = None,
    header: Literal["lenient"] | None = None,
    strict: bool = False,
    delimiter: str | None = None,
    quote: str | None = None,
    escape: str | None = None,
    header_row: int | None = None,
    no_header: bool = False,
    comment: str | None = None,
    nul: Literal["refuse", "strip"] = "refuse",
    items: str | None = None,
    member: str | None = None,
    sheet: str | None = None,
    query: str | None = None,
    order_by: str | None = None,
    binary: Literal["refuse", "utf8", "base64"] = "refuse",
    nan: Literal["refuse", "null"] = "refuse",
) -> SourceReader:
    """Return the items of a source, for `submit`, where `pipeline run` would read it. Nothing is read yet.

    With an idempotency key, a submission of it that is interrupted goes on when it is submitted again. Every keyword
    has the meaning of the option of `pipeline run` that is called like it.

    Args:
        source: A path, a glob, a folder with a slash at its end, or a URL; several are read one after the other.
        format: Of the source.
        encoding: Of text.
        header: What to do about a column of a table without a name.
        strict: Whether a table whose header has a name twice is refused.
        delimiter: What separates the fields of a table.
        quote: What encloses fields of a table.
        escape: What makes the next character of a table text.
        header_row: Line of a table's header.
        no_header: Whether a table has no header.
        comment: What begins a line of a table that is skipped.
        nul: What to do about rows of a table with NUL characters.
        items: The array to read inside one JSON object.
        member: Glob of the members of an archive to read.
        sheet: Name or number of a workbook's sheet.
        query: What to read from a database: one SELECT.
        order_by: Column by which the rows of the query are ordered, unique and never NULL.
        binary: What to do about columns of bytes.
        nan: What to do about rows with NaN or infinity.

    Raises:
        InvalidInput: The source is none.
    """
    locations = [source] if isinstance(source, str | Path) else list(source) if isinstance(source, Sequence) else []
    if not locations or not all(isinstance(each, str | Path) and str(each) for each in locations):
        raise invalid("source", source, "a path, a URL, or several")
    table = TableOptions(
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        header_row=header_row,
        has_header=not no_header,
        comment=comment,
        nul=nul,
    )
    return SourceReader(
        locations,
        format=format,
        encoding=encoding,
        header=HeaderRules(lenient=header == "lenient", strict=strict),
        table=table,
        items=items,
        member=member,
        sheet=sheet,
        query=query,
        order_by=order_by,
        binary=binary,
        nan=nan,
    )
