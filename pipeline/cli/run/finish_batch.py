"""Process an existing batch to the end: write its results, wait for its callbacks, print the summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from pipeline.cli.run.await_exports import await_exports
from pipeline.cli.run.follow_batch import BatchFollower, NeededResults
from pipeline.cli.run.result_output import ResultOutput
from pipeline.cli.run.stop_signals import StopSignals
from pipeline.cli.run.submission import StoredBatch
from pipeline.cli.show.delivery import wait_text
from pipeline.cli.show.export import warn_of_exports
from pipeline.cli.show.output import Messages, format_value, print_json
from pipeline.cli.show.progress_view import progress_view
from pipeline.cli.show.result_totals import ResultTotals
from pipeline.cli.show.summary import Summary, print_summary, summarize
from pipeline.client.batch import Batch
from pipeline.client.client import Client
from pipeline.context import Context
from pipeline.delivery import deliveries, delivery_search
from pipeline.delivery.delivery_search import Wanted, waits_for
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.domain.batch import BatchState, Progress
from pipeline.errors import Conflict

_CALLBACK_POLL_SECONDS = 0.2
#: Seconds without a result after which a run ends if the database cannot be written.
GIVE_UP_SECONDS = 60.0
_OPEN_STATES = (DeliveryState.PENDING, DeliveryState.SENDING)
_UNDELIVERED_STATES = (DeliveryState.PENDING, DeliveryState.PAUSED, DeliveryState.DEAD)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run.

    Args:
        output: the file for the results; None writes none.
        callback_wait: how long to wait for callbacks once all items are final, in seconds.
        as_json: print the summary as JSON.
        messages: where messages go.
        give_up_seconds: how long to go on without a result while the database cannot be written.
    """

    output: ResultOutput | None
    callback_wait: float
    as_json: bool
    messages: Messages
    give_up_seconds: float = GIVE_UP_SECONDS

    @property
    def prints_results(self) -> bool:
        return self.output is not None and self.output.is_stdout

    @property
    def needs_payload(self) -> bool:
        return self.output is not None and self.output.layout.needs_payload

    @property
    def needs_totals(self) -> bool:
        """Whether labels and latencies are reported; the exit code and hints need neither."""
        return self.as_json or not self.messages.is_quiet


def finish_batch(
    context: Context,
    client: Client,
    batch: Batch,
    options: RunOptions,
    stop: StopSignals,
    stored: StoredBatch | None = None,
) -> int:
    """Process a batch to the end, in this process or by following the workers, and return the exit code.

    Args:
        context: that of the client.
        stored: what was read and stored, if the batch is new.

    Raises:
        Conflict: the batch is paused.
        Unreachable: the database could not be read, or could not be written for `give_up_seconds`.
        Stopped: a stop was requested; closing the client returns the items in flight to the queue.
    """
    before = _progress_unless_paused(batch)
    if not context.settings.is_embedded:
        options.messages.info("PIPELINE_BROKER_URL is set: workers process the batch, this command follows it")
    started = time.monotonic()
    totals = ResultTotals() if options.needs_totals else None
    target = nullcontext() if options.output is None else options.output.open()
    with target as out, progress_view(options.messages, prints_results=options.prints_results) as view:
        client.work(only=batch)
        needed = NeededResults(out, totals, with_payload=options.needs_payload)
        follower = BatchFollower(context, batch, needed, give_up_seconds=options.give_up_seconds)
        progress = follower.follow(lambda now: view.show(now, totals.top() if totals else ""), stop)
        seconds = time.monotonic() - started
        show = partial(view.show, progress)
        callbacks = _await_callbacks(context, batch, options.callback_wait, show, stop)
        exports = await_exports(context, batch.id, options.callback_wait, show, stop)
    warn_of_exports(exports, options.messages)
    error, waits = _undelivered_reasons(context, batch, callbacks)
    summary = summarize(
        batch.progress(),
        rejected=stored.rejected if stored else 0,
        blank_rows=stored.blank_rows if stored else 0,
        labels=_labels(batch, totals, progress),
        latency=totals.latency() if totals else None,
        finished=progress.final - before.final,
        seconds=seconds,
        callbacks=callbacks,
        callback_error=error,
        callback_waits=waits,
        exports=dict(Counter(each["state"] for each in exports)),
        output=None if options.output is None else options.output.path,
    )
    return _report(summary, options)


def _progress_unless_paused(batch: Batch) -> Progress:
    progress = batch.progress()
    if progress.state is BatchState.PAUSED:
        raise Conflict(f"batch {batch.id} is paused; run `pipeline resume {batch.id}` first")
    return progress


def _labels(batch: Batch, totals: ResultTotals | None, progress: Progress) -> dict[str, int]:
    if totals is None:
        return {}
    # A replayed item has several results; in that case count labels in the database.
    return totals.ranked() if totals.count == progress.final else batch.labels()


def _report(summary: Summary, options: RunOptions) -> int:
    if options.as_json and not options.prints_results:
        print_json(summary.to_json())
    else:
        print_summary(summary, options.messages)
    return summary.exit_code


def _await_callbacks(
    context: Context, batch: Batch, seconds: float, on_wait: Callable[[str], None], stop: StopSignals
) -> dict[str, int]:
    """Wait until no callback is pending, or none can be sent in time; return the number in each state."""
    end = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        callbacks = deliveries.counts(context, batch.id)
        pending = sum(callbacks.get(state, 0) for state in _OPEN_STATES)
        if not pending or time.monotonic() >= end or _is_too_late(context, batch, callbacks, end):
            return callbacks
        on_wait(f"waiting for {pending:,} callbacks")
        # Counting a million takes a while; leave most of the time to the sender.
        stop.wait(max(_CALLBACK_POLL_SECONDS, 4 * (time.monotonic() - asked)))


def _undelivered_reasons(context: Context, batch: Batch, callbacks: dict[str, int]) -> tuple[str | None, str | None]:
    """Return the last error of an undelivered callback, and what one of them waits for."""
    error = waits = None
    for state in (state for state in _UNDELIVERED_STATES if callbacks.get(state)):
        for row in delivery_search.newest(context, Wanted(batch=batch.id, state=state), limit=1):
            error = error or format_value(row["last_error"]) or None
            waits = waits or wait_text(waits_for(context, row))
    return error, waits


def _is_too_late(context: Context, batch: Batch, callbacks: dict[str, int], end: float) -> bool:
    if callbacks.get(DeliveryState.SENDING):
        return False
    due_at = deliveries.next_due_at(context, batch.id)
    return due_at is not None and (due_at - context.now()).total_seconds() > end - time.monotonic()
