"""`pipeline endpoints test`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.bootstrap import ping
from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.show.endpoint import in_words
from pipeline.cli.show.item import shown_url
from pipeline.cli.show.output import Talk, print_facts, print_json
from pipeline.context import Context
from pipeline.delivery import endpoints as service
from pipeline.delivery.rules.delivery import Answer, Sent
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.delivery.rules.failure_text import explain
from pipeline.errors import NotFound

_AT_ONCE = "has it called at once"


@click.command()
@click.argument("url", metavar="URL")
@options.as_json
def test(url: str, as_json: bool) -> int:
    """Send one signed webhook.ping to URL now, and say what it answers; exit code 1 unless that is 2xx.

    It is sent as callbacks are: with the endpoint's own secrets and headers, and to no address that callbacks must not
    reach. It is stored nowhere and changes nothing, whatever the answer; it is sent to disabled endpoints as well.

    \b
    Examples:
      pipeline endpoints test https://example.com/hook
      pipeline endpoints test https://example.com/hook --json
    """
    with opened(may_create=True) as context:
        sent = ping(context, url)
        waits = _waits(context, url)
    found = _described(sent)
    if as_json:
        print_json(found)
    else:
        print_facts({name.replace("_", " "): value for name, value in found.items()})
        if waits:
            Talk().warn(f"{sent.owed.origin} is {waits}; `pipeline endpoints enable {sent.owed.origin}` {_AT_ONCE}")
    return 0 if sent.answer.is_success else 1


def _described(sent: Sent) -> dict[str, Any]:
    answer = sent.answer
    return {
        "url": shown_url(sent.owed.url),
        "webhook_id": sent.owed.webhook_id,
        "status": answer.status,
        "duration_seconds": round((sent.ended_at - sent.started_at).total_seconds(), 3),
        "error": answer.code,
        "message": _consequence(answer) or explain(answer),
        "answer": answer.text,
    }


def _consequence(answer: Answer) -> str | None:
    """Return what follows for the endpoint where a callback, not a ping, is answered so."""
    if answer.status == 410 or answer.control == "disable":
        return "a callback that is answered so disables its endpoint"
    if answer.control == "abort-message" and not answer.is_success:
        return "a callback that is answered so is given up at once"
    return None


def _waits(context: Context, url: str) -> str | None:
    """Return why callbacks wait although pings are sent."""
    try:
        found = service.show(context, url).condition
    except NotFound:
        return None
    match found.state:
        case EndpointState.DISABLED:
            return f"{in_words(found)}: only pings are sent there"
        case EndpointState.OPEN | EndpointState.THROTTLED:
            return f"left alone ({in_words(found)}): only pings are sent there"
    return None
