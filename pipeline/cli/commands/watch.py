"""`pipeline watch`."""

from __future__ import annotations

import time

import click

from pipeline.batches import progress as batch_progress
from pipeline.cli import options
from pipeline.cli.checks.queues import check_queues
from pipeline.cli.run.session import open_context
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.show.batch import progress_json
from pipeline.cli.show.output import Messages, print_fields, print_json
from pipeline.cli.show.progress_view import ProgressView, progress_view
from pipeline.cli.show.result_totals import top_labels
from pipeline.context import Context
from pipeline.domain.batch import BatchState, Progress

_POLL_SECONDS = 0.5
#: Counting labels reads every item of the batch.
_LABELS_SECONDS = 5.0
#: Seconds without progress after which the command suggests what may be wrong.
IDLE_SECONDS = 10.0


@click.command()
@options.batch
@options.quiet
@options.as_json
def watch(batch: str, quiet: bool, as_json: bool) -> int:
    """Follow BATCH until it is complete.

    This only displays progress: Ctrl-C stops the display, not the batch. Exit code 1 if items are dead or cancelled.

    \b
    Examples:
      pipeline watch last
      pipeline watch last --quiet --json
    """
    messages = Messages(quiet)
    with open_context() as context, StopSignals() as stop:
        try:
            with progress_view(messages) as view:
                progress = _follow(context, batch_progress.progress(context, batch).batch_id, view, messages, stop)
        except Stopped:
            return 0
    if as_json:
        print_json(progress_json(progress))
    elif not quiet:
        print_fields(progress_json(progress), err=True)
    if progress.dead or progress.cancelled:
        hint = f"`pipeline dead list {progress.batch_id}` lists dead items"
        messages.warn(f"{progress.dead:,} dead, {progress.cancelled:,} cancelled; {hint}")
        return 1
    return 0


def _follow(context: Context, batch: str, view: ProgressView, messages: Messages, stop: StopSignals) -> Progress:
    labels, next_labels = "", 0.0
    idle_hint = _IdleHint(context, messages)
    while True:
        progress = batch_progress.progress(context, batch)
        if time.monotonic() >= next_labels:
            labels = top_labels(batch_progress.labels(context, batch).items())
            next_labels = time.monotonic() + _LABELS_SECONDS
        view.show(progress, labels)
        if progress.is_complete:
            return progress
        idle_hint.update(progress)
        stop.wait(_POLL_SECONDS)


class _IdleHint:
    """Prints a hint, once, if the batch makes no progress."""

    def __init__(self, context: Context, messages: Messages) -> None:
        self._context = context
        self._messages = messages
        self._last: Progress | None = None
        self._idle_since: float | None = time.monotonic()

    def update(self, progress: Progress) -> None:
        """Compare with the last progress; print the hint if it has not changed for `IDLE_SECONDS`."""
        if progress != self._last:
            self._last, self._idle_since = progress, time.monotonic()
        elif self._idle_since is not None and time.monotonic() - self._idle_since >= IDLE_SECONDS:
            self._idle_since = None
            self._messages.warn(f"no progress for {IDLE_SECONDS:.0f} s; {self._hint(progress)}")

    def _hint(self, progress: Progress) -> str:
        if progress.state is BatchState.PAUSED:
            return f"the batch is paused: run `pipeline resume {progress.batch_id}`"
        if self._context.settings.is_embedded:
            return f"no process seems to work on it: run `pipeline run --batch {progress.batch_id}`"
        unserved = [each.value for each in check_queues(self._context, progress.batch_id)]
        return f"{'; '.join(unserved)}: start a worker with `pipeline worker`" if unserved else "see `pipeline doctor`"
