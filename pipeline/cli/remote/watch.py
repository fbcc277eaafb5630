"""`pipeline watch` against a server."""

from __future__ import annotations

from pipeline.cli.remote.session import open_server
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.show.batch import progress_json
from pipeline.cli.show.output import Messages, print_fields, print_json
from pipeline.cli.show.progress_view import REFRESH_SECONDS, progress_view


def watch(batch: str, quiet: bool, as_json: bool) -> int:
    """Follow a batch until it is complete."""
    messages = Messages(quiet)
    with open_server() as (_, client), StopSignals() as stop:
        found = client.batch(batch)
        try:
            with progress_view(messages) as view:
                while not (progress := found.progress()).is_complete:
                    view.show(progress, "")
                    stop.wait(REFRESH_SECONDS)
        except Stopped:
            return 0
    if as_json:
        print_json(progress_json(progress))
    elif not quiet:
        print_fields(progress_json(progress), err=True)
    if progress.dead or progress.cancelled:
        hint = f"`pipeline dead list {found.id}` lists dead items"
        messages.warn(f"{progress.dead:,} dead, {progress.cancelled:,} cancelled; {hint}")
        return 1
    return 0
