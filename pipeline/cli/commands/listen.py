"""`pipeline listen`."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import click
import orjson

from pipeline.cli import options
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.run.webhook_listener import Listener, ReceivedRequest, ResponsePolicy
from pipeline.cli.show.output import Messages, format_value, pluralize
from pipeline.cli.streams import print_data
from pipeline.crypto.verify_webhook import parse_verifying_keys
from pipeline.errors import InvalidInput
from pipeline.settings import load as load_settings

#: Characters of an event's data in a line of text.
_DATA_LENGTH = 100
_POLL_SECONDS = 0.2


@click.command()
@click.argument("port", type=click.IntRange(0, 65_535), metavar="[PORT]", default=0)
@click.option(
    "--secret",
    "secrets",
    metavar="SECRET",
    multiple=True,
    help="Secret (whsec_…) or public key (whpk_…) to verify with; can be repeated. Default: PIPELINE_WEBHOOK_SECRET.",
)
@click.option("--status", type=click.IntRange(200, 599), metavar="CODE", help="Respond with CODE instead of 204.")
@click.option(
    "--fail-first", type=click.IntRange(1), metavar="N", help="Respond to the first N webhooks with 503, or --status."
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="Exit after N requests.")
@options.as_json
def listen(
    port: int,
    secrets: tuple[str, ...],
    status: int | None,
    fail_first: int | None,
    count: int | None,
    as_json: bool,
) -> None:
    """Receive and verify webhooks on this machine.

    For testing: prints each webhook. Listens on 127.0.0.1 only, on PORT or any free port, until Ctrl-C. Callbacks to
    private addresses must be allowed: PIPELINE_ALLOW_PRIVATE_CALLBACKS=127.0.0.0/8.

    \b
    Examples:
      pipeline listen 8080
      pipeline listen 8080 --fail-first 2
      pipeline listen 8080 --json --count 10
    """
    keys = tuple(" ".join(secrets).split()) or load_settings().secrets
    if not keys:
        raise InvalidInput("there is no secret to verify with; pass --secret, or set PIPELINE_WEBHOOK_SECRET")
    parse_verifying_keys(keys)
    messages = Messages()

    def print_request(request: ReceivedRequest) -> None:
        print_data(orjson.dumps(_request_json(request)) if as_json else _request_line(request))

    try:
        listener = Listener(port, ResponsePolicy(keys, status, fail_first), print_request, expected=count)
    except OSError as error:
        raise InvalidInput(f"cannot listen on port {port}: {error.strerror}; choose another port, or 0") from None
    with listener, StopSignals() as stop:
        threading.Thread(target=listener.serve_forever, name="listener", daemon=True).start()
        messages.info(f"listening on http://127.0.0.1:{listener.server_port}/")
        try:
            while not listener.is_complete.is_set():
                stop.wait(_POLL_SECONDS)
        except Stopped:
            messages.info("")
        listener.shutdown()
    counts = f"{pluralize(listener.verified, 'webhook')} verified, {pluralize(listener.rejected, 'request')} rejected"
    messages.info(counts)


def _request_json(request: ReceivedRequest) -> dict[str, Any]:
    return {
        "webhook_id": request.webhook_id,
        "attempt": request.attempt,
        "verified": request.event is not None,
        "refused": request.rejected,
        "status": request.status,
        "event": request.event,
    }


def _request_line(request: ReceivedRequest) -> str:
    """Return a request as one line. Characters that could control a terminal are escaped."""
    event = request.event
    outcome = (
        f"rejected: {request.rejected}" if event is None else f"{event.get('type')}  verified  {_data_text(event)}"
    )
    attempt = f"  attempt {request.attempt}" if request.attempt else ""
    time = datetime.now().astimezone().strftime("%H:%M:%S")
    return format_value(f"{time}  {request.status}  {request.webhook_id or '-'}{attempt}  {outcome}")


def _data_text(event: dict[str, Any]) -> str:
    data = event.get("data")
    if isinstance(data, list):
        return pluralize(len(data), "item")
    text = orjson.dumps(data).decode()
    return text if len(text) <= _DATA_LENGTH else f"{text[:_DATA_LENGTH]}…"
