"""`pipeline resume`."""

from __future__ import annotations

import click

from pipeline.batches import control
from pipeline.batches.progress import progress
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.run.wake_workers import wake_workers
from pipeline.cli.show.output import Messages


@click.command()
@options.batch
def resume(batch: str) -> None:
    """Resume a paused BATCH.

    \b
    Examples:
      pipeline resume last
    """
    messages = Messages()
    with open_context() as context:
        batch_id = progress(context, batch).batch_id
        control.resume(context, batch_id)
        wake_workers(context, messages)
        hint = f"; if no process is working on it, run `pipeline run --batch {batch_id}`"
        is_embedded = context.settings.is_embedded
    messages.info(f"batch {batch_id} is resumed{hint if is_embedded else ''}")
