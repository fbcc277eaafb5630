"""`pipeline pause`, `resume`, `cancel`."""

from __future__ import annotations

import click

from pipeline.batches import control
from pipeline.batches import progress as batch_progress
from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.run.wake_workers import nudge
from pipeline.cli.show.output import Talk, many


@click.command()
@options.batch
def pause(batch: str) -> None:
    """Release no more items of BATCH; what is in flight is finished.

    \b
    Examples:
      pipeline pause last
    """
    with opened() as context:
        batch_id = batch_progress.progress(context, batch).batch_id
        control.pause(context, batch_id)
    Talk().say(f"batch {batch_id} is paused; `pipeline resume {batch_id}` lets it go on")


@click.command()
@options.batch
def resume(batch: str) -> None:
    """Release items of a paused BATCH again.

    \b
    Examples:
      pipeline resume last
    """
    talk = Talk()
    with opened() as context:
        batch_id = batch_progress.progress(context, batch).batch_id
        control.resume(context, batch_id)
        nudge(context, talk)
        hint = f"; where none does, `pipeline run --batch {batch_id}`" if context.settings.is_embedded else ""
    talk.say(f"batch {batch_id} may run: a process that works on it goes on{hint}")


@click.command()
@options.batch
@options.yes
def cancel(batch: str, yes: bool) -> None:
    """Cancel what BATCH has not begun; items that run are finished. This cannot be undone.

    \b
    Examples:
      pipeline cancel last
      pipeline cancel last --yes
    """
    with opened() as context:
        progress = batch_progress.progress(context, batch)
        options.confirm(f"Cancel {many(progress.waiting, 'waiting item')} of batch {progress.batch_id}?", yes)
        cancelled = control.cancel(context, progress.batch_id)
    Talk().say(f"{many(cancelled, 'item')} of batch {progress.batch_id} cancelled")
