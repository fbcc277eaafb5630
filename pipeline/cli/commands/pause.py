"""`pipeline pause`."""

from __future__ import annotations

import click

from pipeline.batches import control
from pipeline.batches.progress import progress
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.output import Messages


@click.command()
@options.batch
def pause(batch: str) -> None:
    """Pause BATCH.

    No more items start: those that no worker has claimed are taken back.
    Claimed items finish.

    \b
    Examples:
      pipeline pause last
    """
    with open_context() as context:
        batch_id = progress(context, batch).batch_id
        control.pause(context, batch_id)
    Messages().info(f"batch {batch_id} is paused; `pipeline resume {batch_id}` resumes it")
