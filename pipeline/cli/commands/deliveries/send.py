"""`pipeline deliveries send`."""

from __future__ import annotations

import time

import click

from pipeline.bootstrap import make_sender
from pipeline.cli import options
from pipeline.cli.argument_types import NumberType
from pipeline.cli.run.session import open_context
from pipeline.cli.run.stop_signals import StopSignals
from pipeline.cli.show.output import Messages, format_time, pluralize, print_json
from pipeline.context import Context
from pipeline.delivery.delivery_search import Waiting, waiting

_POLL_SECONDS = 0.2
#: Seconds: enough for a receiver that responds at all.
_WAIT = 30.0


@click.command()
@click.option(
    "--wait",
    type=NumberType(0),
    default=_WAIT,
    show_default=True,
    metavar="SECONDS",
    help="Continue for at most this long.",
)
@options.as_json
def send(wait: float, as_json: bool) -> int:
    """Send all due callbacks, of every batch, from this process.

    Use it where no worker runs, after `deliveries recover`, `deliveries replay-missing` or `endpoints enable`. It ends
    when no callback is due within --wait; attempts that are due later stay pending. Exit code 1 if any callback still
    has to be sent.

    \b
    Examples:
      pipeline deliveries send
      pipeline deliveries send --wait 600 --json
    """
    with open_context() as context, StopSignals() as stop:
        if not context.settings.secrets:
            Messages().warn("PIPELINE_WEBHOOK_SECRET is not set: only endpoints with a secret of their own are called")
        before = waiting(context)
        after = _send(context, before, wait, stop)
    settled = max(before.number - after.number, 0)
    if as_json:
        print_json({"settled": settled, "owed": after.number, "next_due_at": after.next_due_at})
    else:
        Messages().info(_report(settled, after))
    return 1 if after.number else 0


def _send(context: Context, before: Waiting, seconds: float, stop: StopSignals) -> Waiting:
    sender, end, left, pause = make_sender(context), time.monotonic() + seconds, before, _POLL_SECONDS
    sender.start()
    try:
        while left.is_due_within(context.now(), end - time.monotonic()) and time.monotonic() < end:
            stop.wait(pause)
            asked = time.monotonic()
            left = waiting(context)
            # Counting a million takes a while; leave most of the time to the sender.
            pause = max(_POLL_SECONDS, 4 * (time.monotonic() - asked))
    finally:
        sender.stop(context.settings.stop_seconds)
    return waiting(context)


def _report(settled: int, after: Waiting) -> str:
    sent = f"{pluralize(settled, 'callback')} sent or given up"
    if not after.number:
        return f"{sent}; none left to send"
    due = f", next due {format_time(after.next_due_at)}" if after.next_due_at else ""
    return f"{sent}, {after.number:,} left{due}; `pipeline deliveries list --state pending` shows why"
