"""A receiver of webhooks in plain Python: verifies, prints one line an item or batch, answers 204.

    PIPELINE_WEBHOOK_SECRET=whsec_… python examples/receiver.py [PORT] [EVENTS]

PORT 0, the default, takes any free port. Ends after so many EVENTS, or with Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline import InvalidWebhook, verify_webhook


class Receiver(ThreadingHTTPServer):
    """Keeps every event or bundle once, by its `webhook-id`; `is_complete` is set when `expected` of them are there."""

    request_queue_size = 128

    def __init__(self, port: int, secret: str, expected: int = 0, show: Callable[[str], object] = print) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.secret, self.expected, self.show = secret, expected, show
        self.events: dict[str, dict[str, Any]] = {}
        self.keeping = threading.Lock()
        self.is_complete = threading.Event()

    def keep(self, webhook_id: str, event: dict[str, Any]) -> None:
        with self.keeping:
            # The same event comes again where our answer was lost on the way: its id tells.
            if webhook_id in self.events:
                return
            # An endpoint with `coalesce_items` gets the events of many items in one request.
            for data in event["data"] if event["type"] == "items.completed" else [event["data"]]:
                self.show(f"{event['type']:15}  {data.get('key') or '-':8}  {data.get('label') or '-'}")
            # Only what is done is known: what failed above is sent again.
            self.events[webhook_id] = event


class Handler(BaseHTTPRequestHandler):
    """Takes one event, or one bundle of them, a request."""

    server: Receiver
    protocol_version = "HTTP/1.1"  # keeps the connection open: one carries many events

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            self.server.keep(self.headers["webhook-id"], verify_webhook(body, dict(self.headers), self.server.secret))
            status = 204
        except InvalidWebhook as error:
            self.server.show(f"refused: {error}")
            status = 400
        except Exception as error:  # a fault of ours: the sender comes again
            self.server.show(f"failed: {error!r}")
            status = 500
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()
        if len(self.server.events) == self.server.expected:
            self.server.is_complete.set()

    def log_message(self, *_: Any) -> None:
        """Print nothing here: `keep` prints a line an event."""


def main(port: int = 0, expected: int = 0) -> None:
    secret = os.environ.get("PIPELINE_WEBHOOK_SECRET") or sys.exit("set PIPELINE_WEBHOOK_SECRET as the sender has it")
    with Receiver(port, secret, expected) as receiver:
        print(f"listening on http://127.0.0.1:{receiver.server_port}/", flush=True)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        try:
            receiver.is_complete.wait()
        except KeyboardInterrupt:
            print()
        receiver.shutdown()
        print(f"{len(receiver.events)} events")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
