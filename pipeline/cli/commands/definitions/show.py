"""`pipeline definitions show`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, print_json


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--version", metavar="VERSION", help="One that a batch was submitted with, instead of the current one.")
@options.as_json
def show(name: str, version: str | None, as_json: bool) -> None:
    """Print the tables of the definition that NAME means, as JSON.

    \b
    Examples:
      pipeline definitions show tickets
      pipeline definitions show tickets --version 4f1a9c2b7d80
      pipeline definitions show tickets --json
    """
    with open_backend() as backend:
        found = backend.definition(name, version)
    if as_json:
        print_json(found)
        return
    stored_at = found["updated_at"]
    place = "a file" if found["is_file"] else f"stored at {stored_at}" if stored_at else "a version that batches use"
    Messages().info(f"{found['name']}@{found['version']}: {place}")
    print_json(found["definition"])
