"""`pipeline deliveries send`."""

from __future__ import annotations

import time

import click

from pipeline.bootstrap import make_sender
from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.run.stop_signals import Stop
from pipeline.cli.show.output import Talk, brief, many, print_json
from pipeline.context import Context
from pipeline.delivery.delivery_search import Waiting, waiting

_LOOK_SECONDS = 0.2
#: Seconds; a receiver that answers at all has answered by then.
_WAIT = 30.0


@click.command()
@click.option(
    "--wait", type=click.FloatRange(0), default=_WAIT, show_default=True, metavar="SECONDS", help="Go on for so long."
)
@options.as_json
def send(wait: float, as_json: bool) -> int:
    """Send here all callbacks that are due, of every batch; exit code 1 where some are owed still.

    Where no worker runs, after `recover`, `replay-missing` or `endpoints enable`. It ends when none is due within
    --wait; attempts that are due later are left to later.

    \b
    Examples:
      pipeline deliveries send
      pipeline deliveries send --wait 600 --json
    """
    with opened() as context, Stop() as stop:
        if not context.settings.secrets:
            Talk().warn("PIPELINE_WEBHOOK_SECRET is not set: nothing goes to endpoints without a secret of their own")
        before = waiting(context)
        after = _send(context, before, wait, stop)
    if as_json:
        print_json(
            {"settled": max(before.number - after.number, 0), "owed": after.number, "next_due_at": after.next_due_at}
        )
    else:
        Talk().say(_told(before, after))
    return 1 if after.number else 0


def _send(context: Context, before: Waiting, seconds: float, stop: Stop) -> Waiting:
    sender, end, left, pause = make_sender(context), time.monotonic() + seconds, before, _LOOK_SECONDS
    sender.start()
    try:
        while left.is_due_within(context.now(), end - time.monotonic()) and time.monotonic() < end:
            stop.wait(pause)
            asked = time.monotonic()
            left = waiting(context)
            # Counting a million takes a while: most of the time is left to the sender.
            pause = max(_LOOK_SECONDS, 4 * (time.monotonic() - asked))
    finally:
        sender.stop(context.settings.stop_seconds)
    return waiting(context)


def _told(before: Waiting, after: Waiting) -> str:
    said = f"{many(max(before.number - after.number, 0), 'callback')} sent or given up"
    if not after.number:
        return f"{said}; none is owed any more"
    due = f", the next due {brief(after.next_due_at)}" if after.next_due_at else ""
    return f"{said}, {after.number:,} still owed{due}: `pipeline deliveries list --state pending` says why"
