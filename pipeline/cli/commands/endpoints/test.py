"""`pipeline endpoints test`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.bootstrap import ping
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.endpoint import condition_text
from pipeline.cli.show.output import Messages, print_fields, print_json
from pipeline.context import Context
from pipeline.delivery import endpoints as service
from pipeline.delivery.rules.delivery import Answer, Sent
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.delivery.rules.failure_text import explain
from pipeline.domain.redaction import redact_url
from pipeline.errors import NotFound

#: States in which callbacks are not sent.
_NOT_CALLED = (EndpointState.DISABLED, EndpointState.OPEN, EndpointState.THROTTLED)


@click.command()
@click.argument("url", metavar="URL")
@options.as_json
def test(url: str, as_json: bool) -> int:
    """Send a signed webhook.ping to URL and show the response.

    The ping is sent like a callback, with the endpoint's own secrets and headers, and only to addresses that callbacks
    may reach. It also goes to disabled endpoints. Nothing is stored, and the response has no effect on the endpoint.
    Exit code 1 unless the status is 2xx.

    \b
    Examples:
      pipeline endpoints test https://example.com/hook
      pipeline endpoints test https://example.com/hook --json
    """
    with open_context(may_create=True) as context:
        sent = ping(context, url)
        condition = _blocking_condition(context, url)
    result = _result_json(sent)
    if as_json:
        print_json(result)
    else:
        print_fields(result)
        if condition:
            origin = sent.owed.origin
            hint = f"to send callbacks, run `pipeline endpoints enable {origin}`"
            Messages().warn(f"{origin} receives pings but no callbacks: it is {condition}; {hint}")
    return 0 if sent.answer.is_success else 1


def _result_json(sent: Sent) -> dict[str, Any]:
    answer = sent.answer
    return {
        "url": redact_url(sent.owed.url),
        "webhook_id": sent.owed.webhook_id,
        "status": answer.status,
        "duration_seconds": round((sent.ended_at - sent.started_at).total_seconds(), 3),
        "error": answer.code,
        "message": _consequence(answer) or explain(answer),
        "answer": answer.text,
    }


def _consequence(answer: Answer) -> str | None:
    """Return what this response would cause if it answered a callback instead of a ping."""
    if answer.status == 410 or answer.control == "disable":
        return "this response to a callback disables the endpoint"
    if answer.control == "abort-message" and not answer.is_success:
        return "this response to a callback makes the callback dead at once"
    return None


def _blocking_condition(context: Context, url: str) -> str | None:
    """Return the condition of the endpoint, as text, if no callbacks are sent to it."""
    try:
        condition = service.show(context, url).condition
    except NotFound:
        return None
    return condition_text(condition) if condition.state in _NOT_CALLED else None
