"""A receiver on a real socket that verifies and remembers what arrives."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import orjson
from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of five refuses connections when a sender opens many at once.
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: senders that are killed break off in mid-request."""


class Receiver:
    """Answers 204 and keeps every verified event; `wait_for` waits on what has arrived, not on the clock."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self.unverified = 0
        #: While set, every request is answered so, or not at all where it is 0, and nothing is kept.
        self.refusal: int | None = None
        self.refused = 0
        self._arrived = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def events(self) -> list[dict[str, Any]]:
        """Return each event once, in order of first arrival."""
        with self._arrived:
            return [orjson.loads(bodies[0]) for bodies in self.bodies.values()]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events() if event["type"] == kind]

    def wait_for(self, condition: Callable[[Receiver], bool], timeout: float = 60) -> None:
        """Wait until `condition` holds for what has arrived.

        Raises:
            AssertionError: it does not, after `timeout` seconds.
        """
        with self._arrived:
            assert self._arrived.wait_for(lambda: condition(self), timeout), f"{len(self.bodies)} events arrived"

    @contextmanager
    def refusing(self, status: int) -> Iterator[None]:
        """Answer everything with `status` for a while; 0: close connections without an answer."""
        self.refusal = status
        try:
            yield
        finally:
            self.refusal = None

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _keep(self, headers: dict[str, str], body: bytes) -> bool:
        try:
            Webhook(SECRET).verify(body.decode(), headers)
        except Exception:
            self.unverified += 1
            return False
        with self._arrived:
            self.bodies[headers["webhook-id"]].append(body)
            self._arrived.notify_all()
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                refusal = receiver.refusal
                if refusal is not None:
                    receiver.refused += 1
                    self._answer(refusal)
                    return
                verified = receiver._keep({name.lower(): value for name, value in self.headers.items()}, body)
                self._answer(204 if verified else 400)

            def _answer(self, status: int) -> None:
                self.close_connection = status == 0
                if status:
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        return Handler
