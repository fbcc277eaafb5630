"""`pipeline intakes`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.output import Messages, print_fields, print_json
from pipeline.cli.show.table import print_table
from pipeline.intakes import intakes as service
from pipeline.intakes.rules.log_offsets import EARLIEST

_name = click.argument("name", metavar="NAME")


@click.group()
def intakes() -> None:
    """Manage intakes: what `pipeline consume` reads.

    \b
    Examples:
      pipeline intakes list
      pipeline intakes show tickets
    """


@intakes.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """List intakes.

    \b
    Examples:
      pipeline intakes list --json
    """
    with open_context() as context:
        found = [service.view(row) for row in service.find_all(context)]
    if as_json:
        print_json(found)
        return
    names = ("name", "state", "batch_id", "accepted", "rejected", "duplicates", "source", "last_error")
    headers = ("intake", "state", "open batch", "accepted", "rejected", "duplicates", "source", "last error")
    table = [tuple(each[name] for name in names) for each in found]
    right = {"accepted", "rejected", "duplicates"}
    print_table(headers, table, right=right, below=("last error", "source"), empty="no intakes")


@intakes.command()
@_name
@options.limit(10)
@options.as_json
def show(name: str, limit: int, as_json: bool) -> None:
    """Show an intake and the last messages that it rejected.

    \b
    Examples:
      pipeline intakes show tickets
      pipeline intakes show tickets --json --limit 100
    """
    with open_context() as context:
        found = service.details(context, name, limit)
    if as_json:
        print_json(found)
        return
    rejects, positions = found.pop("rejects"), found.pop("positions")
    print_fields(found)
    if positions:
        print_table(("partition", "next offset"), list(positions.items()), title="positions")
    if rejects:
        table = [(each["offset"] or each["message_id"], each["reason"], each["rejected_at"]) for each in rejects]
        print_table(("message", "reason", "at"), table, below=("reason",), title="rejected")


@intakes.command()
@_name
def pause(name: str) -> None:
    """Take no more messages, and seal the open batch.

    The items of the batch are processed.

    \b
    Examples:
      pipeline intakes pause tickets
    """
    with open_context() as context:
        service.pause(context, name)
    Messages().info(f"intake {name!r} is paused; its consumers end")


@intakes.command()
@_name
def resume(name: str) -> None:
    """Let `pipeline consume` take messages again.

    \b
    Examples:
      pipeline intakes resume tickets
    """
    with open_context() as context:
        service.resume(context, name)
    Messages().info(f"intake {name!r} may take messages; start `pipeline consume`")


@intakes.command()
@_name
@click.option(
    "--to",
    metavar="OFFSET",
    default=EARLIEST,
    show_default=True,
    help="earliest, an offset of Kafka, or the id of an entry of Redis.",
)
@click.option("--partition", metavar="PARTITION", help="Only this partition of a topic. Default: all.")
@options.yes
def rewind(name: str, to: str, partition: str | None, yes: bool) -> None:
    """Accept the messages of a topic or stream again, as new items.

    \b
    Examples:
      pipeline intakes rewind tickets --to 1718000000000-0
      pipeline intakes rewind orders --to 1200 --partition 3
    """
    options.confirm(f"Accept every message of {name} from {to} on again?", yes)
    with open_context() as context:
        service.rewind(context, name, to, partition)
    Messages().info(f"intake {name!r} goes on at {to}")
