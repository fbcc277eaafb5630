"""`pipeline listen`."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import click
import orjson

from pipeline import settings
from pipeline.cli import options
from pipeline.cli.run.stop_signals import Stop, Stopped
from pipeline.cli.run.webhook_listener import Arrival, Conduct, Listener
from pipeline.cli.show.output import Talk, cell, many
from pipeline.crypto.verify_webhook import parse_verifying_keys
from pipeline.errors import InvalidInput

#: Characters of a line's data.
_SHOWN = 100
#: How often a wait looks whether it is over.
_LOOK_SECONDS = 0.2


@click.command()
@click.argument("port", type=click.IntRange(0, 65_535), default=0)
@click.option("--secret", "secrets", multiple=True, help="whsec_… or whpk_… to verify with; default: the settings'.")
@click.option("--status", type=click.IntRange(200, 599), help="Answer with this instead of 204.")
@click.option("--fail-first", type=click.IntRange(1), metavar="N", help="Answer the first N with 503, or --status.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N requests.")
@options.as_json
def listen(
    port: int,
    secrets: tuple[str, ...],
    status: int | None,
    fail_first: int | None,
    count: int | None,
    as_json: bool,
) -> None:
    """Receive webhooks on this machine, verify and print them: for trying things out.

    Listens on 127.0.0.1 only, at PORT or any free one, until Ctrl-C. Senders have to allow that:
    PIPELINE_ALLOW_PRIVATE_CALLBACKS=127.0.0.0/8.

    \b
    Examples:
      pipeline listen 8080
      pipeline listen 8080 --fail-first 2
      pipeline listen 8080 --json --count 10
    """
    given = tuple(" ".join(secrets).split()) or settings.load().secrets
    if not given:
        raise InvalidInput("there is no secret to verify with; give --secret, or set PIPELINE_WEBHOOK_SECRET")
    parse_verifying_keys(given)
    talk = Talk()

    def tell(arrival: Arrival) -> None:
        click.echo(orjson.dumps(_plain(arrival)) if as_json else _line(arrival))

    try:
        listener = Listener(port, Conduct(given, status, fail_first), tell, expected=count)
    except OSError as error:
        raise InvalidInput(f"port {port} cannot be listened on: {error.strerror}; choose another, or 0") from None
    with listener, Stop() as stop:
        threading.Thread(target=listener.serve_forever, name="listener", daemon=True).start()
        talk.say(f"listening on http://127.0.0.1:{listener.server_port}/")
        try:
            while not listener.is_complete.is_set():
                stop.wait(_LOOK_SECONDS)
        except Stopped:
            talk.say("")
        listener.shutdown()
    talk.say(f"{many(listener.verified, 'webhook')} verified, {many(listener.refused, 'request')} refused")


def _plain(arrival: Arrival) -> dict[str, Any]:
    return {
        "webhook_id": arrival.webhook_id,
        "attempt": arrival.attempt,
        "verified": arrival.event is not None,
        "refused": arrival.refused,
        "status": arrival.status,
        "event": arrival.event,
    }


def _line(arrival: Arrival) -> str:
    """Return a request as one line; what could steer a terminal is escaped."""
    event = arrival.event
    what = f"refused: {arrival.refused}" if event is None else f"{event.get('type')}  verified  {_data(event)}"
    parts = (datetime.now().astimezone().strftime("%H:%M:%S"), arrival.status, arrival.webhook_id or "-")
    tried = f"  attempt {arrival.attempt}" if arrival.attempt else ""
    return cell("  ".join(map(str, parts)) + f"{tried}  {what}")


def _data(event: dict[str, Any]) -> str:
    data = event.get("data")
    if isinstance(data, list):
        return many(len(data), "item")
    text = orjson.dumps(data).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
