"""Checks that a worker serves each queue for which there is work."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.batch_status import COUNTED_WORK, unserved_queues
from pipeline.cli.checks.check import Check, fail
from pipeline.cli.show.output import Messages, pluralize
from pipeline.context import Context


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
    count = f"more than {pluralize(COUNTED_WORK, noun)}" if number > COUNTED_WORK else pluralize(number, noun)
    return f"nobody serves {queue}: {count} wait{'s' if number == 1 else ''}"


def _advice(queue: str) -> str:
    command = f"start a worker with `pipeline worker --queues {queue}`"
    return f"{command}, with PIPELINE_WEBHOOK_SECRET set" if queue == "deliver" else command
