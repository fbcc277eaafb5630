"""How a batch is doing: progress, throughput, errors, labels, callbacks, and the queues that nobody serves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.batches import progress as batch_progress
from pipeline.batches import throughput
from pipeline.batches.guards import list_guards
from pipeline.batches.progress import ErrorCount
from pipeline.batches.streamed.interrupted import Interrupted, find_interrupted
from pipeline.context import Context
from pipeline.delivery import deliveries
from pipeline.domain.batch import Progress
from pipeline.domain.intervention import Intervention
from pipeline.execution.liveness import count_waiting, served_queues
from pipeline.execution.waiting_steps import WaitingStep, find_waiting_steps
from pipeline.exports import exports
from pipeline.guards.guards import GuardStatus

#: Errors that are named.
NAMED_ERRORS = 3
#: Interventions that are named.
NAMED_INTERVENTIONS = 10
#: Number of items up to which labels and callbacks are counted unasked: counting a million takes seconds.
COUNTED_ITEMS = 50_000
#: Waiting work is counted up to this number.
COUNTED_WORK = 100_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a batch finishes items.

    Args:
        items_per_second: None: it is not running.
        seconds_left: at this rate; None: that is unknown.
        stands_still_since: when an item should have followed the last one, if none has for a lease.
    """

    items_per_second: float | None = None
    seconds_left: float | None = None
    stands_still_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How a batch is doing.

    Args:
        unserved: how much waits in each queue that no worker serves.
        errors: the most frequent ones.
        labels: number of items by label, the most frequent first; None: not counted.
        callbacks: number of deliveries by state; None: not counted.
        exports: those of the batch, see `exports.view`.
        submission: how far it has come, if the batch is not accepted yet and its submission can be resumed.
        history: what people did to it, the newest first, at most `NAMED_INTERVENTIONS`.
        guards: its guards against failures.
        waiting_steps: enrichers of its definition whose items wait.
    """

    progress: Progress
    pace: Pace
    unserved: dict[str, int]
    errors: list[ErrorCount]
    labels: dict[str, int] | None
    callbacks: dict[str, int] | None
    exports: list[dict[str, Any]]
    submission: Interrupted | None
    history: list[Intervention]
    guards: list[GuardStatus]
    waiting_steps: list[WaitingStep]


def read_status(context: Context, batch: str, *, full: bool) -> BatchStatus:
    """Return how a batch is doing.

    Args:
        full: count labels and callbacks even if the batch is large.

    Raises:
        NotFound: there is no such batch.
    """
    progress = batch_progress.progress(context, batch)
    name, counts = progress.batch_id, full or progress.total <= COUNTED_ITEMS
    return BatchStatus(
        progress,
        read_pace(context, progress),
        unserved=unserved_queues(context, name),
        errors=batch_progress.errors(context, name, limit=NAMED_ERRORS),
        labels=batch_progress.labels(context, name) if counts else None,
        callbacks=deliveries.counts(context, name) if counts else None,
        exports=[exports.view(row) for row in exports.of_batch(context, name)],
        submission=find_interrupted(context, name),
        history=batch_progress.interventions(context, name, limit=NAMED_INTERVENTIONS),
        guards=list_guards(context, name),
        waiting_steps=[] if progress.is_complete else find_waiting_steps(context, name),
    )


def read_pace(context: Context, progress: Progress) -> Pace:
    """Return how fast a batch finishes items."""
    if not progress.state.releases_items:
        return Pace()
    measured = throughput.measure(context, progress.batch_id)
    rate = measured.items_per_second
    return Pace(
        items_per_second=round(rate, 1),
        seconds_left=round((progress.total - progress.final) / rate, 1) if rate else None,
        stands_still_since=measured.stands_still_since,
    )


def unserved_queues(context: Context, batch: str | None = None) -> dict[str, int]:
    """Return the queues that no worker has served for a lease although work waits for them, and how much.

    In embedded mode there are no queues: a process that works on a batch serves itself.

    Args:
        batch: look only at the work of this batch; None: at all work.
    """
    if context.settings.is_embedded:
        return {}
    served = served_queues(context)
    waiting = count_waiting(context, batch, limit=COUNTED_WORK + 1)
    waiting["deliver"] = deliveries.count_due(context, batch, limit=COUNTED_WORK + 1)
    return {queue: number for queue, number in waiting.items() if number and queue not in served}
