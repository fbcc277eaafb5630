"""`pipeline definitions delete`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages


@click.command()
@click.argument("name", metavar="NAME")
@options.yes
def delete(name: str, yes: bool) -> None:
    """Let NAME mean nothing. Running batches keep their definition.

    \b
    Examples:
      pipeline definitions delete tickets
      pipeline definitions delete tickets --yes
    """
    with open_backend() as backend:
        found = backend.definition(name, None)
        options.confirm(f"Delete the definition {name}@{found['version']}?", yes)
        backend.remove_definition(name)
    Messages().info(f"deleted {name}@{found['version']}; running batches keep it")
