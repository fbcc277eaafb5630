"""`pipeline exports show`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.export import part_json, print_export
from pipeline.cli.show.output import print_json
from pipeline.exports import exports


@click.command()
@click.argument("name", metavar="ID")
@options.as_json
def show(name: str, as_json: bool) -> None:
    """Show an export with its parts.

    ID is the number of an export, or a batch: its exports are shown one after the other.

    \b
    Examples:
      pipeline exports show 3
      pipeline exports show last --json
    """
    with open_context() as context:
        found = [(row, exports.parts_of(context, row["id"])) for row in exports.named(context, name)]
    if as_json:
        print_json([exports.view(row) | {"files": [part_json(part) for part in parts]} for row, parts in found])
        return
    for row, parts in found:
        print_export(row, parts)
