"""`pipeline exports list`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.export import print_exports
from pipeline.cli.show.output import print_json
from pipeline.exports import exports
from pipeline.exports.rules.export_state import ExportState


@click.command("list")
@click.argument("batch", metavar="[BATCH]", required=False)
@click.option("--state", type=click.Choice([each.value for each in ExportState]), help="Only in this state.")
@options.limit(50)
@options.as_json
def list_(batch: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List exports, newest first, or those of BATCH.

    \b
    Examples:
      pipeline exports list
      pipeline exports list last --json
      pipeline exports list --state failed
    """
    with open_context() as context:
        if batch is None:
            rows = exports.newest(context, limit=limit, state=state)
        else:
            rows = [row for row in exports.of_batch(context, batch) if state in (None, row["state"])][:limit]
    print_json([exports.view(row) for row in rows]) if as_json else print_exports(rows)
