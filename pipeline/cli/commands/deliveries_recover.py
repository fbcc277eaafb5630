"""`pipeline deliveries recover` and `replay-missing`: callbacks by the many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import click

from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.show.item import shown_url
from pipeline.cli.show.output import Talk, cell, many, print_json
from pipeline.cli.time_arguments import instant
from pipeline.context import Context
from pipeline.delivery import deliveries as service


@click.command()
@click.option("--batch", metavar="BATCH", help="Only of this batch.")
@click.option("--endpoint", metavar="ORIGIN", help="Only to this endpoint: https://host, or any URL there.")
@click.option("--since", type=instant, metavar="WHEN", help="Only what came to its end from then on.")
@click.option("--until", type=instant, metavar="WHEN", help="Only what came to its end before then.")
@click.option(
    "--state",
    "states",
    type=click.Choice(service.FINAL),
    multiple=True,
    default=("dead",),
    show_default=True,
    help="Only in this state; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Say how many, and change nothing.")
@options.yes
@options.as_json
def recover(
    batch: str | None,
    endpoint: str | None,
    since: datetime | None,
    until: datetime | None,
    states: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send callbacks again that were given up, all that the options choose: the same webhook ids and bodies.

    WHEN is a time, such as 2026-11-21T08:00 (local unless it names a zone), or how long ago: 90m, 6h, 3d. It is of
    when a callback came to its end: dead ones were given up then, up to four days after their event. Callbacks to
    endpoints that are disabled are left out; enable them first.

    \b
    Examples:
      pipeline deliveries recover --dry-run
      pipeline deliveries recover --endpoint https://example.com --since 6h
      pipeline deliveries recover --batch last --since 2026-11-21T08:00 --until 2026-11-21T09:30 --yes
      pipeline deliveries recover --batch last --state delivered
    """

    def work(context: Context, dry_run: bool) -> int:
        return service.recover(
            context, batch=batch, origin=endpoint, since=since, until=until, states=states, dry_run=dry_run
        )

    def left_out(context: Context) -> dict[str, int]:
        return service.left_out(context, batch=batch, origin=endpoint, since=since, until=until, states=states)

    _by_the_many(work, "send again", dry_run=dry_run, yes=yes, as_json=as_json, left_out=left_out)


@click.command("replay-missing")
@click.argument("url", metavar="URL")
@click.option("--batch", metavar="BATCH", required=True, help="Whose events.")
@click.option("--batch-events", is_flag=True, help="The batch's own event as well, beside those of its items.")
@click.option("--dry-run", is_flag=True, help="Say how many, and change nothing.")
@options.yes
@options.as_json
def replay_missing(url: str, batch: str, batch_events: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Send to URL the events of a batch that were never sent there: it was submitted without that URL.

    Given again, it sends only what is missing still.

    \b
    Examples:
      pipeline deliveries replay-missing https://example.com/hook --batch last --dry-run
      pipeline deliveries replay-missing https://example.com/hook --batch last --batch-events
    """

    def work(context: Context, dry_run: bool) -> int:
        return service.replay_missing(context, url, batch, batch_events=batch_events, dry_run=dry_run)

    _by_the_many(work, f"send to {shown_url(url)}", dry_run=dry_run, yes=yes, as_json=as_json)


def _by_the_many(
    work: Callable[[Context, bool], int],
    verb: str,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    left_out: Callable[[Context], dict[str, int]] | None = None,
) -> None:
    with opened() as context:
        # Counting takes as long as the work: not where nobody wants to know.
        count = work(context, True) if dry_run or not yes else 0
        if not dry_run:
            options.confirm(f"{verb.capitalize()} {many(count, 'callback')}?", yes or not count)
            count = work(context, False)
        others = None if left_out is None else left_out(context)
        is_embedded = context.settings.is_embedded
    if as_json:
        print_json({"callbacks": count, "dry_run": dry_run} | ({} if others is None else {"left_out": others}))
        return
    for origin, number in (others or {}).items():
        Talk().warn(f"{many(number, 'callback')} left out: {origin} is disabled; `pipeline endpoints enable {origin}`")
    if dry_run:
        Talk().say(f"{many(count, 'callback')} to {verb}; without --dry-run it is done")
        return
    how = "; `pipeline deliveries send` sends them" if is_embedded and count else ""
    Talk().say(cell(f"{many(count, 'callback')} pending, due now{how}"))
