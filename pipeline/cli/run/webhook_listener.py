"""The receiver behind `pipeline listen`: verifies webhooks, reports them, and answers as configured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from pipeline.crypto.verify_webhook import InvalidWebhook, verify_webhook

#: Limits on the bytes of a body and on concurrent connections: any program on this machine can connect.
MAX_BODY_BYTES = 32 * 2**20
MAX_CONNECTIONS = 256
#: Seconds after which an idle connection is closed.
IDLE_SECONDS = 60.0

_OK, _INVALID, _NO_LENGTH, _TOO_LARGE, _FAILURE = 204, 400, 411, 413, 503


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request and the status of its response.

    Attributes:
        webhook_id: the header `webhook-id`.
        attempt: the header `webhook-attempt`.
        status: the status of the response.
        event: the verified event; None if the request was rejected.
        rejected: why the request was rejected; None if it was verified.
    """

    webhook_id: str | None
    attempt: str | None
    status: int
    event: dict[str, Any] | None = None
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class ResponsePolicy:
    """How a listener verifies and answers requests.

    Args:
        secrets: a request is valid if any of them signed it.
        status: the status of the response to a verified webhook; None means 204.
        fail_first: answer this many verified webhooks with `status`, or 503, and the others with 204.
    """

    secrets: Sequence[str]
    status: int | None = None
    fail_first: int | None = None

    def status_of(self, number: int) -> int:
        """Return the status for the verified webhook with this number, counted from 1."""
        if self.fail_first is None:
            return self.status or _OK
        return self.status or _FAILURE if number <= self.fail_first else _OK


class Listener(ThreadingHTTPServer):
    """An HTTP server on 127.0.0.1 that calls `on_request` for each request, one at a time.

    `is_complete` is set once `expected` requests have been answered; later requests are not reported.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        policy: ResponsePolicy,
        on_request: Callable[[ReceivedRequest], object],
        *,
        expected: int | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.is_complete = threading.Event()
        self.verified = self.rejected = 0
        self._expected = expected
        self._policy = policy
        self._on_request = on_request
        self._lock = threading.Lock()
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def receive(self, headers: dict[str, str], body: bytes) -> ReceivedRequest:
        """Verify and report a request; return it with the status to answer with."""
        webhook_id, attempt = headers.get("webhook-id"), headers.get("webhook-attempt")
        try:
            event = verify_webhook(body, headers, self._policy.secrets)
        except InvalidWebhook as error:
            return self._reject(ReceivedRequest(webhook_id, attempt, _INVALID, rejected=str(error)))
        with self._lock:
            self.verified += 1
            request = ReceivedRequest(webhook_id, attempt, self._policy.status_of(self.verified), event)
            self._report(request)
        return request

    def reject_unread(self, status: int, reason: str) -> ReceivedRequest:
        """Report a request whose body was not read; return it."""
        return self._reject(ReceivedRequest(None, None, status, rejected=reason))

    def response_sent(self) -> None:
        """Check, after each response, whether the expected number of requests has been answered."""
        if self._expected is not None and self.verified + self.rejected >= self._expected:
            self.is_complete.set()

    def _reject(self, request: ReceivedRequest) -> ReceivedRequest:
        with self._lock:
            self.rejected += 1
            self._report(request)
        return request

    def _report(self, request: ReceivedRequest) -> None:
        if self._expected is None or self.verified + self.rejected <= self._expected:
            self._on_request(request)

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Ignore connections that break: their senders retry."""


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    # Keeps the connection open for more webhooks.
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            self._close(self.server.reject_unread(_NO_LENGTH, "the header content-length is missing or invalid"))
        elif int(length) > MAX_BODY_BYTES:
            reason = f"the body has {length} bytes; the limit is {MAX_BODY_BYTES}"
            self._close(self.server.reject_unread(_TOO_LARGE, reason))
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._respond(self.server.receive(headers, self.rfile.read(int(length))))

    def _close(self, request: ReceivedRequest) -> None:
        self.close_connection = True
        self._respond(request)

    def _respond(self, request: ReceivedRequest) -> None:
        # The sender stores the beginning of the response, which therefore says what was wrong.
        reason = f"{request.rejected}\n".encode() if request.rejected else b""
        self.send_response(request.status)
        if request.status != _OK:
            self.send_header("content-length", str(len(reason)))
        if reason:
            self.send_header("content-type", "text/plain; charset=utf-8")
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(reason)
        self.server.response_sent()

    def log_message(self, *_: Any) -> None:
        """Log nothing: `on_request` reports each request."""
