"""The one way to read items: whatever the source is called, it becomes an `ItemSource`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pipeline.domain.payload import MAX_PAYLOAD_BYTES, Record, Rejection
from pipeline.domain.urls.connection_url import is_connection_url, parse_connection_url
from pipeline.errors import InvalidInput
from pipeline.sources import file_kinds
from pipeline.sources.files_source import FilesSource
from pipeline.sources.format import InputFormat, format_from_name
from pipeline.sources.item_source import ItemSource
from pipeline.sources.local_file import LocalFile
from pipeline.sources.locations import find_files
from pipeline.sources.read_file import cannot_seek
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.source_file import SourceFile
from pipeline.sources.text.csv_header import HeaderRules
from pipeline.sources.url import STDIN, SchemeKind, SourceUrl, load_opener, parse_location


def open_source(
    locations: Sequence[str | Path],
    options: ReadOptions,
    report: ReadReport,
    *,
    stdin: BinaryIO | None = None,
) -> ItemSource:
    """Return the source that locations stand for. Nothing of it is read yet.

    Args:
        locations: at least one path, glob, folder with a slash at its end, URL, or `-` for standard input. Several,
            and those that stand for several files, are one source.
        options: how to read it.
        report: counts blank rows and takes warnings while it is read.
        stdin: what `-` reads instead of the process's standard input; it is left open.

    Raises:
        InvalidInput: a location cannot be used, a file does not exist, or an option is wrong.
    """
    options = options.checked()
    parsed = [each if isinstance(each, Path) else parse_location(each) for each in locations]
    if len(parsed) == 1 and isinstance(parsed[0], SourceUrl):
        connected = _open_connected(parsed[0], options, report)
        if connected is not None:
            return connected
        kind, opener = load_opener(parsed[0])
        if kind is SchemeKind.ITEMS:
            source: ItemSource = opener(parsed[0], options, report)
            return source
    if options.query is not None:
        raise InvalidInput("--query reads from one database, such as postgresql://HOST/DATABASE, and not from files")
    files = find_files(locations, options, stdin)
    for file in files:
        _check_suffix(file, options)
    return FilesSource(options.name or _name_of(locations, files), files, options, report)


def _open_connected(url: SourceUrl, options: ReadOptions, report: ReadReport) -> ItemSource | None:
    """Return the rows of a query on the database that a connection leads to; None if it leads to none."""
    if not is_connection_url(url.text):
        return None
    named = parse_connection_url(url.text, name="the source")
    connection = options.access.find_connection(named.name)
    if connection.scheme not in ("postgresql", "mysql"):
        return None
    # Imported here: SQLAlchemy and its drivers take long to import.
    from pipeline.sources.query.query_source import open_connected

    return open_connected(connection, named.rest, options, report)


def read_items(
    source: str | Path,
    *,
    format: str | None = None,
    encoding: str | None = None,
    header: HeaderRules | None = None,
    report: ReadReport | None = None,
    stdin: BinaryIO | None = None,
    max_bytes: int = MAX_PAYLOAD_BYTES,
    name: str | None = None,
    options: ReadOptions | None = None,
) -> Iterator[Record | Rejection]:
    """Yield the items of `source` in order, each as a record or a rejection, in constant memory.

    Args:
        source: see `open_source`.
        format, encoding, header, max_bytes, name: see `ReadOptions`.
        report: counts blank rows and takes warnings while the items are read.
        stdin: what `-` reads instead of the process's standard input; it is left open.
        options: the other options.

    Raises:
        InvalidInput: `source` cannot be read. This is raised at once if its name, the format or the encoding is wrong,
            and while reading if it is empty, damaged or truncated. Items yielded before remain valid.
    """
    chosen = replace(
        options or ReadOptions(),
        format=format,
        encoding=encoding,
        header=header or HeaderRules(),
        max_bytes=max_bytes,
        name=name,
    )
    return open_source([source], chosen, report or ReadReport(), stdin=stdin).read()


def _check_suffix(file: SourceFile, options: ReadOptions) -> None:
    """Refuse a file whose format cannot be known, or cannot be read from a pipe, before another one is read."""
    if options.format in (InputFormat.PARQUET, InputFormat.XLSX) and not file.can_seek:
        raise cannot_seek(InputFormat(options.format), file)
    if options.format is not None or not isinstance(file, LocalFile) or not file.can_seek:
        return
    try:
        format_from_name(file.path_name, file.name)
    except InvalidInput:
        # What it is says more than what its suffix is not.
        with file.open_stream() as stream:
            head = stream.peek()
        if not file_kinds.is_readable(head):
            file_kinds.refuse_binary(head, file.name, "utf-8")
            file_kinds.refuse_markup(head, file.name)
        raise


def _name_of(locations: Sequence[str | Path], files: Sequence[SourceFile]) -> str:
    if len(files) == 1:
        return files[0].name
    shown = [each.shown if isinstance(each, SourceUrl) else str(each) for each in map(_parsed, locations)]
    return shown[0] if len(shown) == 1 else f"{files[0].name} and {len(files) - 1:,} more"


def _parsed(location: str | Path) -> str | Path | SourceUrl:
    return location if isinstance(location, Path) or location == STDIN else parse_location(location)
