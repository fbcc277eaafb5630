"""`pipeline guards list` and `pipeline guards show`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.guard import print_guard, print_guards
from pipeline.cli.show.output import print_json
from pipeline.domain.bounds import shown
from pipeline.errors import NotFound


@click.command("list")
@click.argument("batch", metavar="BATCH")
@options.as_json
def list_(batch: str, as_json: bool) -> None:
    """List the guards of BATCH and what they have counted.

    A guard fires when its score is above 7, or at its number of failures.

    \b
    Examples:
      pipeline guards list last
      pipeline guards list last --json
    """
    with open_backend() as backend:
        found = backend.guards(batch)
    print_json(found) if as_json else print_guards(found)


@click.command()
@click.argument("batch", metavar="BATCH")
@click.argument("name", metavar="NAME")
@options.as_json
def show(batch: str, name: str, as_json: bool) -> None:
    """Show a guard of BATCH.

    That is its settings, what it has counted, and what it said when it fired last.

    \b
    Examples:
      pipeline guards show last failures
      pipeline guards show last failures --json
    """
    with open_backend() as backend:
        found = next((each for each in backend.guards(batch) if each["name"] == name), None)
    if found is None:
        raise NotFound(f"the batch has no guard {shown(name)}; `pipeline guards list {batch}` lists them")
    print_json(found) if as_json else print_guard(found)
