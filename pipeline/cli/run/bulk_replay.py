"""Replay of many callbacks: count them, ask for confirmation, replay, and report."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.backends.backend import Backend
from pipeline.cli.show.output import Messages, format_value, pluralize, print_json


def bulk_replay(
    replay: Callable[[Backend, bool], tuple[int, dict[str, int] | None]],
    verb: str,
    target: str = "",
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Replay callbacks after confirmation, and report how many.

    Args:
        replay: replays the callbacks, or only counts them if its second argument is true. Returns their number, and
            that of the callbacks that are skipped by disabled endpoint; None: none can be.
        verb: what is done to the callbacks, for messages.
        target: where to, for messages.
        dry_run: only count.
        yes: do not ask for confirmation.
        as_json: print JSON.
    """
    with open_backend() as backend:
        # Counting takes as long as replaying; do it only if the number is needed.
        count, skipped = replay(backend, True) if dry_run or not yes else (0, None)
        if not dry_run:
            question = f"{verb.capitalize()} {pluralize(count, 'callback')}{target}?"
            options.confirm(question, yes or not count)
            count, skipped = replay(backend, False)
    if as_json:
        print_json({"callbacks": count, "dry_run": dry_run} | ({} if skipped is None else {"left_out": skipped}))
        return
    for origin, number in (skipped or {}).items():
        hint = f"{origin} is disabled, `pipeline endpoints enable {origin}` enables it"
        Messages().warn(f"skipped {pluralize(number, 'callback')}: {hint}")
    if dry_run:
        Messages().info(f"would {verb} {pluralize(count, 'callback')}{target}")
        return
    hint = "; to send them, run `pipeline deliveries send`" if backend.needs_command and count else ""
    Messages().info(format_value(f"{pluralize(count, 'callback')} pending and due now{hint}"))
