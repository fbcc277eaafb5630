"""A webhook receiver in plain Python: verify each request, print one line per item or batch, respond with 204.

    PIPELINE_WEBHOOK_SECRET=whsec_… python examples/receiver.py [PORT] [EVENTS]

PORT 0, the default, picks a free port. The program ends after EVENTS events, or on Ctrl-C.
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
    """Keeps each event or bundle once, by its `webhook-id`; sets `is_complete` when `expected` of them have arrived."""

    request_queue_size = 128

    def __init__(self, port: int, secret: str, expected: int = 0, show: Callable[[str], object] = print) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.secret, self.expected, self.show = secret, expected, show
        self.events: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()
        self.is_complete = threading.Event()

    def keep(self, webhook_id: str, event: dict[str, Any]) -> None:
        with self.lock:
            # An event is sent again if the response was lost; its id identifies it.
            if webhook_id in self.events:
                return
            # An endpoint with `coalesce_items` receives many item events in one request.
            for data in event["data"] if event["type"] == "items.completed" else [event["data"]]:
                self.show(f"{event['type']:15}  {data.get('key') or '-':8}  {data.get('label') or '-'}")
            # Remember an event only after handling it, so that one that failed above is sent again.
            self.events[webhook_id] = event


class Handler(BaseHTTPRequestHandler):
    """Handles one event or one bundle per request."""

    server: Receiver
    protocol_version = "HTTP/1.1"  # keeps the connection open for further events

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            self.server.keep(self.headers["webhook-id"], verify_webhook(body, dict(self.headers), self.server.secret))
            status = 204
        except InvalidWebhook as error:
            self.server.show(f"refused: {error}")
            status = 400
        except Exception as error:  # an error in this program: the sender will retry
            self.server.show(f"failed: {error!r}")
            status = 500
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()
        if len(self.server.events) == self.server.expected:
            self.server.is_complete.set()

    def log_message(self, *_: Any) -> None:
        """Print nothing here; `keep` prints one line per event."""


def main(port: int = 0, expected: int = 0) -> None:
    secret = os.environ.get("PIPELINE_WEBHOOK_SECRET") or sys.exit("set PIPELINE_WEBHOOK_SECRET to the sender's secret")
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
