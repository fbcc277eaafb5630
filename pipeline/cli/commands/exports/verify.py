"""`pipeline exports verify`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.export import print_verified, verified_json
from pipeline.cli.show.output import Messages, print_json
from pipeline.context import Context
from pipeline.exports import exports
from pipeline.exports import repair as service_of_repair
from pipeline.exports import verify as service


@click.command()
@click.argument("name", metavar="ID")
@click.option("--repair", is_flag=True, help="Write damaged and missing files again, and verify once more.")
@options.as_json
def verify(name: str, repair: bool, as_json: bool) -> int:
    """Compare what an export has written with the results.

    Every part is read: its bytes, its number of results, and that each result is in exactly one part. Of a table, rows
    are counted. Exit code 1 if anything differs. ID is the number of an export, or a batch: all of its exports.

    With --repair, parts and manifests that are damaged or missing get the bytes that they had, from the results, as
    long as these are kept. Files that do not belong to the export, and tables, stay as they are.

    \b
    Examples:
      pipeline exports verify last
      pipeline exports verify 3 --json
      pipeline exports verify 3 --repair
    """
    with open_context() as context:
        found = [service.verify(context, row) for row in exports.named(context, name)]
        if repair:
            found = [_repaired(context, each) for each in found]
    print_json([verified_json(each) for each in found]) if as_json else print_verified(found)
    return 1 if any(each.problems for each in found) else 0


def _repaired(context: Context, found: service.Verified) -> service.Verified:
    written = service_of_repair.repair(context, found)
    for location in written:
        Messages().info(f"{location} is written again")
    return service.verify(context, found.export) if written else found
