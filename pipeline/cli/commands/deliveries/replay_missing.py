"""`pipeline deliveries replay-missing`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends.backend import Backend
from pipeline.cli.run.bulk_replay import bulk_replay
from pipeline.domain.redaction import redact_url


@click.command("replay-missing")
@click.argument("url", metavar="URL")
@click.option("--batch", metavar="BATCH", required=True, help="The batch whose events to send.")
@click.option("--batch-events", is_flag=True, help="Also send the events of the batch itself.")
@options.dry_run
@options.yes
@options.as_json
def replay_missing(url: str, batch: str, batch_events: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Send a batch's events to a URL that it was submitted without.

    Running it again sends only events that were still not sent to URL.

    \b
    Examples:
      pipeline deliveries replay-missing https://example.com/hook --batch last --dry-run
      pipeline deliveries replay-missing https://example.com/hook --batch last --batch-events
    """

    def send_missing(backend: Backend, dry_run: bool) -> tuple[int, None]:
        return backend.replay_missing(url, batch, batch_events=batch_events, dry_run=dry_run), None

    bulk_replay(send_missing, "send", f" to {redact_url(url)}", dry_run=dry_run, yes=yes, as_json=as_json)
