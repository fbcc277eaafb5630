"""`pipeline endpoints`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.commands.endpoint_secrets import forget_secret, rotate_secret
from pipeline.cli.commands.endpoint_settings import set_
from pipeline.cli.commands.endpoint_test import test
from pipeline.cli.run.log_output import hushed
from pipeline.cli.run.session import opened
from pipeline.cli.show.endpoint import described, in_words, origin, print_endpoint
from pipeline.cli.show.output import Talk, many, print_json
from pipeline.cli.show.table import print_table
from pipeline.delivery import endpoints as service
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.domain.callback_url import parse_callback_url

_BACKLOG = ("pending", "sending", "paused", "dead")
_BELOW = ("last success", "oldest due", "state")


@click.group()
def endpoints() -> None:
    """What receives callbacks: each scheme, host and port; how it answers, and how it is called.

    ORIGIN is `https://example.com`, or any URL there.

    \b
    Examples:
      pipeline endpoints list
      pipeline endpoints test https://example.com/hook
      pipeline endpoints enable https://example.com
    """


for _command in (set_, rotate_secret, forget_secret, test):
    endpoints.add_command(_command)


@endpoints.command("list")
@click.option("--state", type=click.Choice([each.value for each in EndpointState]), help="Only in this state.")
@click.option("--after", metavar="ORIGIN", help="Only those whose names follow: the next page.")
@options.limit(50)
@options.as_json
def list_(state: str | None, after: str | None, limit: int, as_json: bool) -> None:
    """List endpoints that are owed something, took some lately, were configured or failed, by name.

    \b
    ok         nothing is known against it
    failing    it has taken nothing since its last failure
    throttled  it asked not to be called for a while
    open       it failed too often and is left alone for a while
    locked     its secrets or headers cannot be read with PIPELINE_ENCRYPTION_KEY as it is here
    disabled   it is not called any more; what it is owed is paused and kept

    \b
    Examples:
      pipeline endpoints list
      pipeline endpoints list --state disabled
      pipeline endpoints list --json --limit 1000
    """
    with opened() as context:
        # One more than is shown says whether there are more.
        several = service.every(context, state=state, after=after, limit=limit + 1)
    found = several[:limit]
    if as_json:
        print_json([described(each) for each in found])
        return
    rows = [
        (
            each.origin,
            each.state.value if each.state is EndpointState.LOCKED else in_words(each.condition),
            *(each.backlog.get(state) for state in _BACKLOG),
            each.oldest_due_at,
            each.last_success_at,
        )
        for each in found
    ]
    print_table(("endpoint", "state", *_BACKLOG, "oldest due", "last success"), rows, right=_BACKLOG, below=_BELOW)
    if len(several) > limit:
        Talk().say(f"there are more; --after {found[-1].origin} shows the next, --limit {limit * 10} more at once")


@endpoints.command()
@origin
@options.as_json
def show(origin: str, as_json: bool) -> None:
    """Show how an endpoint answers, what is configured for it, what it is owed, and what happened to it.

    Values of secrets and headers are not shown.

    \b
    Examples:
      pipeline endpoints show https://example.com
      pipeline endpoints show https://example.com/hook --json
    """
    with opened() as context:
        found = service.show(context, origin)
    print_json(described(found)) if as_json else print_endpoint(found)


@endpoints.command()
@origin
@options.as_json
def enable(origin: str, as_json: bool) -> None:
    """Call an endpoint again, and send what was paused for it; one that is left alone is called at once.

    \b
    Examples:
      pipeline endpoints enable https://example.com
    """
    with opened() as context:
        resumed = service.enable(context, origin)
        found = service.show(context, origin)
        name, dead = found.origin, found.backlog.get("dead", 0)
        is_embedded = context.settings.is_embedded
    if as_json:
        print_json({"origin": name, "resumed": resumed})
        return
    todo = "; `pipeline deliveries send` sends them" if is_embedded and resumed else ""
    Talk().say(f"endpoint {name} is enabled; {many(resumed, 'paused callback')} pending again{todo}")
    if dead:
        again = f"`pipeline deliveries recover --endpoint {name}`"
        Talk().say(f"{many(dead, 'callback')} given up before: {again} sends them again")


@endpoints.command()
@origin
@click.option("--reason", metavar="TEXT", help="One line that tells others why.")
@options.as_json
def disable(origin: str, reason: str | None, as_json: bool) -> None:
    """Call an endpoint no more; what it is owed is paused and kept until it is enabled.

    \b
    Examples:
      pipeline endpoints disable https://example.com --reason "moves to a new host on Monday"
    """
    with opened() as context, hushed():
        was_known = service.is_known(context, origin)
        paused = service.disable(context, origin, reason)
    name = parse_callback_url(origin, name="the endpoint").origin
    if as_json:
        print_json({"origin": name, "paused": paused})
        return
    if not was_known:
        Talk().warn(f"nothing is known of {name}: look whether that is the endpoint you mean")
    Talk().say(
        f"endpoint {name} is disabled; {many(paused, 'callback')} paused; `pipeline endpoints enable {name}` sends them"
    )
