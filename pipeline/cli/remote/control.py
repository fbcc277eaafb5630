"""`pipeline pause`, `resume` and `cancel` against a server."""

from __future__ import annotations

from pipeline.cli import options
from pipeline.cli.remote.session import open_server
from pipeline.cli.show.output import Messages, pluralize


def pause(batch: str) -> None:
    """Pause a batch."""
    with open_server() as (_, client):
        found = client.batch(batch)
        found.pause()
    Messages().info(f"batch {found.id} is paused; `pipeline resume {found.id}` resumes it")


def resume(batch: str) -> None:
    """Resume a batch."""
    with open_server() as (_, client):
        found = client.batch(batch)
        found.resume()
    Messages().info(f"batch {found.id} is running again")


def cancel(batch: str, yes: bool) -> None:
    """Cancel the rest of a batch."""
    with open_server() as (_, client):
        found = client.batch(batch)
        waiting = found.progress().waiting
        options.confirm(f"Cancel {pluralize(waiting, 'waiting item')} of batch {found.id}?", yes)
        cancelled = found.cancel()
    Messages().info(f"cancelled {pluralize(cancelled, 'item')} of batch {found.id}")
