"""Options and arguments that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from pipeline.cli.argument_types import PATH, whole_number
from pipeline.cli.error_report import Declined
from pipeline.domain import bounds

F = TypeVar("F", bound=Callable[..., Any])

batch = click.argument("batch", metavar="BATCH")
origin = click.argument("origin", metavar="ORIGIN")
delivery = click.argument("name", metavar="ID")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Print no progress and no summary, only warnings and errors.")
yes = click.option(
    "-y", "--yes", is_flag=True, help="Do not ask for confirmation; required in a non-interactive shell."
)
dry_run = click.option("--dry-run", is_flag=True, help="Report what would be done, and change nothing.")
definition = click.option(
    "-p",
    "--definition",
    type=PATH,
    metavar="DEFINITION",
    help="Name or path of the definition. Default: the only one in PIPELINE_DEFINITIONS or the current directory.",
)
batch_of_key = click.option(
    "--batch", metavar="BATCH", help="Look up the key of an item in this batch first. Default: in the last batch."
)
payload = click.option("--payload", is_flag=True, help="Include the item's payload.")


def limit(default: int) -> Callable[[F], F]:
    """Return the option `--limit`."""
    return click.option(
        "--limit",
        type=whole_number(bounds.LIMIT),
        metavar="N",
        default=default,
        show_default=True,
        help="Maximum number of entries to list.",
    )


def with_options(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Return a decorator that adds options to a command, in the order of the help."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def confirm(question: str, yes: bool) -> None:
    """Ask the user to confirm, unless `yes` is set.

    Raises:
        Declined: the answer is no.
        click.UsageError: standard input is not a terminal, so nobody can answer.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f'cannot ask "{question}": standard input is not a terminal; pass --yes')
    if not click.confirm(question, err=True):
        raise Declined
