"""`pipeline endpoints list`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.endpoint import condition_of, condition_text
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.show.table import print_table
from pipeline.delivery.rules.endpoint_state import EndpointState

_BACKLOG = ("pending", "sending", "paused", "dead")
_BELOW = ("last success", "oldest due", "state")


@click.command("list")
@click.option("--state", type=click.Choice([state.value for state in EndpointState]), help="Only in this state.")
@click.option("--after", metavar="ORIGIN", help="Only after this endpoint in the order of names, for the next page.")
@options.limit(50)
@options.as_json
def list_(state: str | None, after: str | None, limit: int, as_json: bool) -> None:
    """List endpoints by name.

    The list has endpoints with undelivered callbacks, recent deliveries, settings or failures. The states are:

    \b
    ok         no known problem
    failing    no delivery has succeeded since the last failure
    throttled  asked not to be called for a while
    open       failed too often; not called for a while
    locked     its secrets or headers cannot be decrypted with PIPELINE_ENCRYPTION_KEY
    disabled   not called; its callbacks are paused and kept

    \b
    Examples:
      pipeline endpoints list
      pipeline endpoints list --state disabled
      pipeline endpoints list --json --limit 1000
    """
    with open_backend() as backend:
        # One more than the limit shows whether there are more.
        endpoints = backend.endpoints(state, after, limit + 1)
    page = endpoints[:limit]
    if as_json:
        print_json(page)
        return
    rows = [
        (
            endpoint["origin"],
            endpoint["state"] if endpoint["state"] == EndpointState.LOCKED else condition_text(condition_of(endpoint)),
            *(endpoint["backlog"].get(state) for state in _BACKLOG),
            endpoint["oldest_due_at"],
            endpoint["last_success_at"],
        )
        for endpoint in page
    ]
    headers = ("endpoint", "state", *_BACKLOG, "oldest due", "last success")
    print_table(headers, rows, right=_BACKLOG, below=_BELOW, empty="no endpoints")
    if len(endpoints) > limit:
        Messages().info(f"there are more; --limit {limit * 10} lists more, --after {page[-1]['origin']} the next page")
