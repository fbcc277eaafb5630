"""`pipeline definitions list`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import print_json
from pipeline.cli.show.table import print_table


@click.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """List definitions by name: the files, and what was stored.

    \b
    Examples:
      pipeline definitions list
      pipeline definitions list --json
    """
    with open_backend() as backend:
        found = backend.definitions()
    if as_json:
        print_json(found)
        return
    rows = [
        (each["name"], "a file" if each["is_file"] else each["tenant"], each["version"], each["updated_at"])
        for each in found
    ]
    print_table(("name", "tenant", "version", "updated"), rows, empty="no definitions")
