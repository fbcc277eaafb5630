"""The receiver behind `pipeline listen`: verifies what arrives, tells of it, answers as it was told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from pipeline.crypto.verify_webhook import InvalidWebhook, verify_webhook

#: Bytes of a body, and connections at the same time: it is open to every program of this machine.
MAX_BODY_BYTES = 32 * 2**20
MAX_CONNECTIONS = 256
#: Seconds a connection may say nothing.
SILENCE_SECONDS = 60.0

_OK, _REFUSED, _NO_LENGTH, _TOO_LARGE, _FAILURE = 204, 400, 411, 413, 503


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request, what was made of it, and the status it was answered with."""

    webhook_id: str | None
    attempt: str | None
    status: int
    event: dict[str, Any] | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a listener answers.

    Args:
        secrets: any of them may have signed.
        status: what verified webhooks are answered with; None: 204.
        fail_first: requests that are answered with `status`, or 503, before the others are answered with 204.
    """

    secrets: Sequence[str]
    status: int | None = None
    fail_first: int | None = None

    def answer(self, number: int) -> int:
        """Return the status for the verified request of this number, counted from 1."""
        if self.fail_first is None:
            return self.status or _OK
        return self.status or _FAILURE if number <= self.fail_first else _OK


class Listener(ThreadingHTTPServer):
    """Listens on 127.0.0.1 and calls `tell` for each request, one at a time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, conduct: Conduct, tell: Callable[[Arrival], object], *, expected: int | None = None
    ) -> None:
        """`is_complete` is set when `expected` requests have been answered; what comes after those is not told."""
        super().__init__(("127.0.0.1", port), _Handler)
        self._expected = expected
        self.is_complete = threading.Event()
        self._conduct = conduct
        self._out = tell
        self._telling = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.verified = self.refused = 0

    def take(self, headers: dict[str, str], body: bytes) -> Arrival:
        """Verify a request, tell of it, and return it with the status to answer with."""
        webhook_id, attempt = headers.get("webhook-id"), headers.get("webhook-attempt")
        try:
            event = verify_webhook(body, headers, self._conduct.secrets)
        except InvalidWebhook as error:
            return self._told(Arrival(webhook_id, attempt, _REFUSED, refused=str(error)))
        with self._telling:
            self.verified += 1
            status = self._conduct.answer(self.verified)
            arrival = Arrival(webhook_id, attempt, status, event)
            self._tell(arrival)
        return arrival

    def answered(self) -> None:
        """An answer has left."""
        if self._expected is not None and self.verified + self.refused >= self._expected:
            self.is_complete.set()

    def turn_away(self, status: int, reason: str) -> Arrival:
        """Tell of a request that was not read."""
        return self._told(Arrival(None, None, status, refused=reason))

    def _told(self, arrival: Arrival) -> Arrival:
        with self._telling:
            self.refused += 1
            self._tell(arrival)
        return arrival

    def _tell(self, arrival: Arrival) -> None:
        if self._expected is None or self.verified + self.refused <= self._expected:
            self._out(arrival)

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Say nothing of connections that break off: their senders come again."""


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    # Connections stay open: one carries many webhooks.
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_SECONDS

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            self._end(self.server.turn_away(_NO_LENGTH, "the request does not say how long it is"))
        elif int(length) > MAX_BODY_BYTES:
            self._end(self.server.turn_away(_TOO_LARGE, f"the body has {length} bytes; {MAX_BODY_BYTES} are read"))
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._answer(self.server.take(headers, self.rfile.read(int(length))))

    def _end(self, arrival: Arrival) -> None:
        self.close_connection = True
        self._answer(arrival)

    def _answer(self, arrival: Arrival) -> None:
        # Who sent it keeps how the answer begins: it says there what was wrong.
        reason = f"{arrival.refused}\n".encode() if arrival.refused else b""
        self.send_response(arrival.status)
        if arrival.status != _OK:
            self.send_header("content-length", str(len(reason)))
        if reason:
            self.send_header("content-type", "text/plain; charset=utf-8")
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(reason)
        self.server.answered()

    def log_message(self, *_: Any) -> None:
        """Print nothing here: `tell` does."""
