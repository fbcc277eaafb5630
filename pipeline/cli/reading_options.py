"""The options that say how to read a source, shared by all commands that read one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.bootstrap import load_connections
from pipeline.cli import options
from pipeline.cli.argument_types import PATH
from pipeline.connections.connection import ConnectionUse, NamedConnection
from pipeline.errors import InvalidInput
from pipeline.settings import load as load_settings
from pipeline.sources import HeaderRules, ReadOptions, TableOptions
from pipeline.sources.source_access import SourceAccess

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--format",
        "input_format",
        metavar="FORMAT",
        help="Input format: jsonl, json, csv, tsv, parquet, arrow or xlsx. Default: from the suffix; where that says "
        "nothing, from the first bytes.",
    ),
    click.option(
        "--encoding",
        metavar="ENCODING",
        help="Text encoding, such as cp1252. Default: from the byte order mark, otherwise UTF-8.",
    ),
    click.option(
        "--header",
        type=click.Choice(["lenient"]),
        help="lenient: call the tenth column of a table column_10 if it has no name. Default: such a column must be "
        "empty.",
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Refuse a table whose header has a name twice. Default: the second Label becomes Label_2.",
    ),
    click.option(
        "--delimiter",
        metavar="C",
        help="What separates the fields of a table: one character, or tab. Default: detected.",
    ),
    click.option("--quote", metavar="C", help='What encloses fields of a table, or none. Default: ".'),
    click.option("--escape", metavar="C", help="What makes the next character of a table text. Default: nothing."),
    click.option(
        "--header-row", type=click.IntRange(1), metavar="N", help="Line of the header; the lines before are skipped."
    ),
    click.option("--no-header", is_flag=True, help="The table has no header: columns are called column_1, column_2, …"),
    click.option("--comment", metavar="C", help="Skip the lines of a table that begin with this character."),
    click.option(
        "--nul",
        type=click.Choice(["refuse", "strip"]),
        default="refuse",
        show_default=True,
        help="What to do about rows of a table with NUL characters.",
    ),
    click.option("--items", metavar="NAME", help="Read the array NAME, such as data.results, inside one JSON object."),
    click.option("--member", metavar="GLOB", help="Read the members of an archive that match GLOB."),
    click.option("--sheet", metavar="SHEET", help="Name or number of a workbook's sheet. Default: the first visible."),
    click.option(
        "--query",
        metavar="SQL",
        help="What to read from a database: one SELECT, or @FILE with one. It runs in a read-only transaction.",
    ),
    click.option(
        "--order-by",
        metavar="COLUMN",
        help="Read the rows of the query in the order of COLUMN, which is unique and never NULL. An interrupted "
        "submission can then go on.",
    ),
    click.option(
        "--binary",
        type=click.Choice(["refuse", "utf8", "base64"]),
        default="refuse",
        show_default=True,
        help="What to do about columns of bytes in Parquet, Arrow and databases.",
    ),
    click.option(
        "--nan",
        type=click.Choice(["refuse", "null"]),
        default="refuse",
        show_default=True,
        help="What to do about rows with NaN or infinity in Parquet, Arrow and databases.",
    ),
    click.option(
        "--max-ratio",
        type=click.IntRange(2, 1_000_000),
        default=ReadOptions().max_ratio,
        show_default=True,
        metavar="N",
        help="Refuse a file that unpacks to more than N times its size.",
    ),
)


def reading_options(command: F) -> F:
    """Add the options of `take_reading` to a command."""
    return options.with_options(_OPTIONS)(command)


def sources_argument(name: str, *, required: bool = True) -> Callable[[F], F]:
    """Return the argument that names one or more sources."""
    metavar = f"{name}..." if required else f"[{name}]..."
    return click.argument("sources", type=PATH, metavar=metavar, nargs=-1, required=required)


def take_reading(given: dict[str, Any]) -> ReadOptions:
    """Remove the options of `reading_options` from those that were given, and return them."""
    query = _read_query(given.pop("query"))
    header = HeaderRules(lenient=given.pop("header") == "lenient", strict=given.pop("strict"))
    table = TableOptions(
        **{name: given.pop(name) for name in ("delimiter", "quote", "escape", "header_row", "comment", "nul")},
        has_header=not given.pop("no_header"),
    )
    names = ("encoding", "items", "member", "sheet", "order_by", "binary", "nan", "max_ratio")
    options = {name: given.pop(name) for name in names}
    access = SourceAccess(find_connection=_find_connection)
    return ReadOptions(
        format=given.pop("input_format"), header=header, table=table, query=query, access=access, **options
    )


def _find_connection(name: str) -> NamedConnection:
    return load_connections(load_settings().connections).get(name, ConnectionUse.SOURCES)


def _read_query(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the query in {path}: {error}") from None
