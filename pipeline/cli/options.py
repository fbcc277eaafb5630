"""Options that several commands have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress and no summary; warnings and errors stay.")
batch = click.argument("batch", metavar="BATCH")
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where nobody can answer.")
definition = click.option(
    "-p",
    "--definition",
    metavar="DEFINITION",
    help="Name or path of the definition; default: the only one in PIPELINE_DEFINITIONS or the current directory.",
)
input_format = click.option(
    "--format",
    "input_format",
    metavar="FORMAT",
    help="jsonl, json, csv, tsv or parquet; default: by the file's suffix, for `-` by its first bytes.",
)
of_batch = click.option(
    "--batch", metavar="BATCH", default="last", show_default=True, help="Where a key of yours is given: of this batch."
)
encoding = click.option("--encoding", help="Of text, such as cp1252; default: what a byte order mark says, else UTF-8.")


def limit(default: int) -> Callable[[F], F]:
    """Return `--limit`."""
    return click.option(
        "--limit", type=click.IntRange(1), default=default, show_default=True, help="List at most so many."
    )


def confirm(question: str, yes: bool) -> None:
    """Ask a person at a terminal.

    Raises:
        click.Abort: the answer is no.
        click.UsageError: there is no terminal: nobody can answer.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can answer here, since standard input is no terminal: give --yes")
    click.confirm(question, abort=True, err=True)
