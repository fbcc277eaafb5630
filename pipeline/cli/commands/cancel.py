"""`pipeline cancel`."""

from __future__ import annotations

import click

from pipeline.batches import control
from pipeline.batches import progress as batch_progress
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.output import Messages, pluralize


@click.command()
@options.batch
@options.yes
def cancel(batch: str, yes: bool) -> None:
    """Cancel the remaining items of BATCH.

    Items that are running finish. This cannot be undone.

    \b
    Examples:
      pipeline cancel last
      pipeline cancel last --yes
    """
    with open_context() as context:
        progress = batch_progress.progress(context, batch)
        options.confirm(f"Cancel {pluralize(progress.waiting, 'waiting item')} of batch {progress.batch_id}?", yes)
        cancelled = control.cancel(context, progress.batch_id)
    Messages().info(f"cancelled {pluralize(cancelled, 'item')} of batch {progress.batch_id}")
