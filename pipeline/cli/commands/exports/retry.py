"""`pipeline exports retry`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.output import Messages, print_json
from pipeline.exports import exports


@click.command()
@click.argument("name", metavar="ID")
@options.as_json
def retry(name: str, as_json: bool) -> None:
    """Try a failed or waiting export again now.

    It goes on where it was: what is stored is not written again. ID is the number of an export, or a batch.

    \b
    Examples:
      pipeline exports retry 3
    """
    with open_context() as context:
        retried = exports.retry(context, name)
        is_embedded = context.settings.is_embedded
    if as_json:
        print_json([exports.view(row) for row in retried])
        return
    for row in retried:
        hint = f"to write it, run `pipeline run --batch {row['public_id']}`" if is_embedded else "workers will write it"
        Messages().info(f"export {row['id']} is due now; {hint}")
