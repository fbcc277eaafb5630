"""A receiver of webhooks in plain Python: verifies, prints one line an event, answers 204.

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

from pipeline import verify_webhook


class Receiver(ThreadingHTTPServer):
    """Keeps every event once, by its `webhook-id`; `is_complete` is set when `expected` of them are there."""

    request_queue_size = 128

    def __init__(self, port: int, secret: str, expected: int = 0, show: Callable[[str], object] = print) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.secret, self.expected, self.show = secret, expected, show
        self.events: dict[str, dict[str, Any]] = {}
        self.is_complete = threading.Event()

    def keep(self, webhook_id: str, event: dict[str, Any]) -> None:
        # The same event comes again where our answer was lost on the way: its id tells.
        if self.events.setdefault(webhook_id, event) is event:
            data = event["data"]
            self.show(f"{event['type']:15}  {data.get('key') or '-':8}  {data.get('label') or '-'}")


class Handler(BaseHTTPRequestHandler):
    """Takes one event a request."""

    server: Receiver
    protocol_version = "HTTP/1.1"  # keeps the connection open: one carries many events

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            self.server.keep(self.headers["webhook-id"], verify_webhook(body, dict(self.headers), self.server.secret))
            status = 204
        except Exception as error:  # strangers may send anything; none of it is a reason to stop
            self.server.show(f"refused: {error}")
            status = 400
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
