"""`pipeline watch`."""

from __future__ import annotations

import time

import click

from pipeline.batches import progress as batch_progress
from pipeline.cli import options
from pipeline.cli.commands.status import counts
from pipeline.cli.run.session import opened
from pipeline.cli.run.stop_signals import Stop, Stopped
from pipeline.cli.show.output import Talk, print_facts, print_json
from pipeline.cli.show.progress_view import ProgressView, view
from pipeline.context import Context
from pipeline.domain.batch import Progress

_POLL_SECONDS = 0.5
#: Counting labels reads every item of the batch.
_LABELS_SECONDS = 5.0
#: After so long without a change somebody may be waiting for workers that do not run.
IDLE_SECONDS = 10.0


@click.command()
@options.batch
@options.quiet
@options.as_json
def watch(batch: str, quiet: bool, as_json: bool) -> int:
    """Follow BATCH until it is complete; this only looks, and Ctrl-C stops nothing but the view.

    \b
    Examples:
      pipeline watch last
      pipeline watch last --quiet --json
    """
    talk = Talk(quiet)
    with opened() as context, Stop() as stop:
        try:
            with view(talk) as shown:
                progress = _follow(context, batch_progress.progress(context, batch).batch_id, shown, talk, stop)
        except Stopped:
            return 0
    if as_json:
        print_json(counts(progress))
    elif not quiet:
        print_facts({name.replace("_", " "): value for name, value in counts(progress).items()}, err=True)
    if progress.dead or progress.cancelled:
        talk.warn(f"{progress.dead:,} dead, {progress.cancelled:,} cancelled: `pipeline dead list {progress.batch_id}`")
        return 1
    return 0


def _follow(context: Context, batch: str, shown: ProgressView, talk: Talk, stop: Stop) -> Progress:
    labels, labels_at, idle = "", 0.0, _Idle(talk, context.settings.is_embedded)
    while True:
        progress = batch_progress.progress(context, batch)
        if time.monotonic() >= labels_at:
            found = batch_progress.labels(context, batch)
            labels = ", ".join(f"{label} {count:,}" for label, count in list(found.items())[:4])
            labels_at = time.monotonic() + _LABELS_SECONDS
        shown.show(progress, labels)
        if progress.is_complete:
            return progress
        idle.look(progress)
        stop.wait(_POLL_SECONDS)


class _Idle:
    """Says once that nothing moves."""

    def __init__(self, talk: Talk, is_embedded: bool) -> None:
        self._talk = talk
        self._is_embedded = is_embedded
        self._last: Progress | None = None
        self._since: float | None = time.monotonic()

    def look(self, progress: Progress) -> None:
        if progress != self._last:
            self._last, self._since = progress, time.monotonic()
        elif self._since is not None and time.monotonic() - self._since >= IDLE_SECONDS:
            self._since = None
            how = f"`pipeline run --batch {progress.batch_id}` does the work" if self._is_embedded else "start workers"
            if progress.state == "paused":
                how = f"it is paused; `pipeline resume {progress.batch_id}`"
            self._talk.warn(f"nothing has moved for {IDLE_SECONDS:.0f} s; no worker seems to run: {how}")
