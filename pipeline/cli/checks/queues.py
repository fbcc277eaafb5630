"""Checks that a worker serves each queue for which there is work."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checks.check import Check, fail
from pipeline.cli.show.output import Messages, pluralize
from pipeline.context import Context
from pipeline.delivery import deliveries
from pipeline.execution.liveness import count_waiting, served_queues

#: Waiting work is counted up to this number.
_COUNTED = 100_000


def unserved_queues(context: Context, batch: str | None = None) -> dict[str, int]:
    """Return the queues that no worker has served for a lease although work waits for them, and how much.

    In embedded mode there are no queues: a process that works on a batch serves itself.

    Args:
        batch: look only at the work of this batch; None: at all work.
    """
    if context.settings.is_embedded:
        return {}
    served = served_queues(context)
    waiting = count_waiting(context, batch, limit=_COUNTED + 1)
    waiting["deliver"] = deliveries.count_due(context, batch, limit=_COUNTED + 1)
    return {queue: number for queue, number in waiting.items() if number and queue not in served}


def check_queues(context: Context, batch: str | None = None) -> Iterator[Check]:
    """Yield a failure for each queue that nobody serves although work, of a batch or any, waits for it."""
    for queue, number in unserved_queues(context, batch).items():
        yield fail("queue", _problem(queue, number), _advice(queue))


def warn_unserved(unserved: dict[str, int], messages: Messages) -> None:
    """Warn about unserved queues on standard error."""
    for queue, number in unserved.items():
        messages.warn(f"{_problem(queue, number)}; {_advice(queue)}")


def _problem(queue: str, number: int) -> str:
    noun = "callback" if queue == "deliver" else "item"
    count = f"more than {pluralize(_COUNTED, noun)}" if number > _COUNTED else pluralize(number, noun)
    return f"nobody serves {queue}: {count} wait{'s' if number == 1 else ''}"


def _advice(queue: str) -> str:
    command = f"start a worker with `pipeline worker --queues {queue}`"
    return f"{command}, with PIPELINE_WEBHOOK_SECRET set" if queue == "deliver" else command
