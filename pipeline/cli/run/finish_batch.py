"""Work on one batch to its end: follow its results, wait for its callbacks, say what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from pipeline.batches import results
from pipeline.batches.find import find_batch
from pipeline.cli.run.stop_signals import Stop
from pipeline.cli.show.delivery import why_it_waits
from pipeline.cli.show.output import Talk, cell, print_json
from pipeline.cli.show.progress_view import LOOK_SECONDS, view
from pipeline.cli.show.result_totals import ResultTotals
from pipeline.cli.show.summary import Summary, print_summary, summary
from pipeline.client.batch import Batch
from pipeline.client.client import Client
from pipeline.context import Context
from pipeline.delivery import deliveries, delivery_search
from pipeline.delivery.delivery_search import Wanted
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.domain.batch import BatchState, Progress
from pipeline.errors import Conflict
from pipeline.files import ResultWriter, open_writer

Counts = dict[str, int]

#: Seconds between two looks for new results while none come.
_POLL_SECONDS = 0.03
_CALLBACK_SECONDS = 0.2
_UNDER_WAY = (DeliveryState.PENDING, DeliveryState.SENDING)
_NOT_DELIVERED = (DeliveryState.PENDING, DeliveryState.PAUSED, DeliveryState.DEAD)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person wants from a run: where results go, how long to wait for callbacks (seconds), what to print."""

    output: str | None
    callback_wait: float
    as_json: bool
    talk: Talk

    @property
    def prints_results(self) -> bool:
        return self.output == "-"


def finish(context: Context, client: Client, batch: Batch, wishes: Wishes, stop: Stop, *, rejected: int) -> int:
    """Process a batch to its end, here or where the workers are; return the exit code.

    Args:
        context: that of the client.

    Raises:
        Conflict: the batch is paused.
        Stopped: it was asked for; what is in flight is handed back when the client closes.
    """
    before = batch.progress()
    if before.state is BatchState.PAUSED:
        raise Conflict(f"batch {batch.id} is paused; `pipeline resume {batch.id}` first")
    if not context.settings.is_embedded:
        wishes.talk.say("PIPELINE_BROKER_URL is set: workers elsewhere do the work, this only follows")
    started = time.monotonic()
    tally = ResultTotals()
    target = nullcontext() if wishes.output is None else open_writer(wishes.output)
    with target as out, view(wishes.talk, beside_data=wishes.prints_results) as shown:
        client.work(only=batch)
        progress = _follow(context, batch, _taker(tally, out), lambda now: shown.show(now, tally.top()), stop)
        seconds = time.monotonic() - started
        callbacks = _await_callbacks(context, batch, wishes.callback_wait, partial(shown.show, progress), stop)
    error, waits = _why(context, batch, callbacks)
    found = summary(
        batch.progress(),
        rejected=rejected,
        # A replayed item was counted twice.
        labels=tally.ranked() if tally.count == progress.final else batch.labels(),
        latency=tally.latency(),
        finished=progress.final - before.final,
        seconds=seconds,
        callbacks=callbacks,
        callback_error=error,
        callback_waits=waits,
        output=wishes.output,
    )
    return _tell(found, wishes)


def _tell(found: Summary, wishes: Wishes) -> int:
    if wishes.as_json and not wishes.prints_results:
        print_json(found.to_json())
    else:
        print_summary(found, wishes.talk)
    return found.exit_code


def _taker(tally: ResultTotals, out: ResultWriter | None) -> Callable[[results.Page], None]:
    def take(page: results.Page) -> None:
        for result in page.results:
            tally.add(result)
            if out is not None:
                out.write(result)
        if out is not None:
            out.flush()

    return take


def _follow(
    context: Context, batch: Batch, take: Callable[[results.Page], None], show: Callable[[Progress], None], stop: Stop
) -> Progress:
    """Pass every page of results on, from the batch's first, until it is complete."""
    after, look_at = 0, 0.0
    with context.database.read() as connection:
        row_id = find_batch(connection, batch.id)["id"]
    while True:
        if time.monotonic() >= look_at:
            progress = batch.progress()
            show(progress)
            look_at = time.monotonic() + LOOK_SECONDS
        page = results.page(context, row_id, after)
        take(page)
        stop.check()
        # Complete before the log was read to its end: nothing follows.
        if page.last_seq == after and progress.is_complete:
            return progress
        if page.last_seq == after:
            stop.wait(_POLL_SECONDS)
        after = page.last_seq
        if page.is_end:
            look_at = 0.0


def _await_callbacks(context: Context, batch: Batch, seconds: float, show: Callable[[str], None], stop: Stop) -> Counts:
    """Wait until no callback is under way, or none will be in time; return how many are in each state."""
    end = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        callbacks = deliveries.counts(context, batch.id)
        under_way = sum(callbacks.get(state, 0) for state in _UNDER_WAY)
        if not under_way or time.monotonic() >= end or _is_too_late(context, batch, callbacks, end):
            return callbacks
        show(f"waiting for {under_way:,} callbacks")
        # Counting a million takes a while: most of the time is left to whoever sends them.
        stop.wait(max(_CALLBACK_SECONDS, 4 * (time.monotonic() - asked)))


def _why(context: Context, batch: Batch, callbacks: Counts) -> tuple[str | None, str | None]:
    """Return what the last attempt at a callback came to that is not delivered, and what one waits for."""
    error = waits = None
    for state in (each for each in _NOT_DELIVERED if callbacks.get(each)):
        for row in delivery_search.newest(context, Wanted(batch=batch.id, state=state), limit=1):
            error = error or cell(row["last_error"]) or None
            waits = waits or why_it_waits(context, row)
    return error, waits


def _is_too_late(context: Context, batch: Batch, callbacks: Counts, end: float) -> bool:
    if callbacks.get(DeliveryState.SENDING):
        return False
    due_at = deliveries.next_due_at(context, batch.id)
    return due_at is not None and (due_at - context.now()).total_seconds() > end - time.monotonic()
