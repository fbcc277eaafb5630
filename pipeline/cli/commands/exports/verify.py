"""`pipeline exports verify`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.export import print_verified, verified_json
from pipeline.cli.show.output import print_json
from pipeline.exports import exports
from pipeline.exports import verify as service


@click.command()
@click.argument("name", metavar="ID")
@options.as_json
def verify(name: str, as_json: bool) -> int:
    """Compare what an export has written with the results.

    Every part is read: its bytes, its number of results, and that each result is in exactly one part. Of a table, rows
    are counted. Exit code 1 if anything differs. ID is the number of an export, or a batch: all of its exports.

    \b
    Examples:
      pipeline exports verify last
      pipeline exports verify 3 --json
    """
    with open_context() as context:
        found = [service.verify(context, row) for row in exports.named(context, name)]
    print_json([verified_json(each) for each in found]) if as_json else print_verified(found)
    return 1 if any(each.problems for each in found) else 0
