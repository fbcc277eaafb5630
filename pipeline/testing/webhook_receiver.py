"""A receiver of callbacks on this machine: verifies what arrives, keeps it, and answers as the test says."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from pipeline.crypto.verify_webhook import InvalidWebhook, verify_webhook
from pipeline.testing.sign_webhook import TEST_SECRET

_ACCEPTED, _REFUSED = 204, 400


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """One request that arrived.

    Args:
        path: What the URL says behind the host.
        headers: By their names in lower case.
        body: The bytes that were received.
        event: `type`, `timestamp` and `data`; None: the request did not verify.
        error: Why it did not verify.
        status: What it was answered with.
    """

    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    event: dict[str, Any] | None
    error: str | None
    status: int

    @property
    def webhook_id(self) -> str | None:
        """The event's id: the same each time the event is sent."""
        return self.headers.get("webhook-id")


class WebhookReceiver:
    """Receives callbacks at a free port of 127.0.0.1. Use it in a `with` block, and call back its `url`.

    Requests that verify are answered with 204, or as `answer_with` says; others with 400.

    Args:
        secret: What the sender signs with: `whsec_…`, or `whpk_…` for a key pair. Several: any may fit.
    """

    def __init__(self, secret: str | Iterable[str] = TEST_SECRET) -> None:
        self._secrets = secret if isinstance(secret, str) else tuple(secret)
        self._requests: list[ReceivedWebhook] = []
        self._answers: deque[int] = deque()
        self._changed = threading.Condition()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """Where it listens. Any path below it is received too."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def requests(self) -> list[ReceivedWebhook]:
        """Every request in order of arrival: repeated events and those that did not verify too."""
        with self._changed:
            return list(self._requests)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that were accepted, each once, in order of arrival: what `verify_webhook` returns."""
        with self._changed:
            return self._accepted()

    def answer_with(self, *statuses: int) -> None:
        """Answer the next requests that verify with these statuses, one each; those after them with 204."""
        with self._changed:
            self._answers.extend(statuses)

    def wait_for(self, count: int = 1, *, type: str | None = None, timeout: float = 30.0) -> list[dict[str, Any]]:
        """Wait until so many events were accepted.

        Args:
            count: Number of events; a bundle of many items is one.
            type: Count only events of this type, such as `item.completed`.
            timeout: Longest wait in seconds.

        Returns:
            The events of that type accepted so far, `count` or more.

        Raises:
            TimeoutError: Fewer came in time. The message says how many, and why requests were refused.
        """

        def found() -> list[dict[str, Any]]:
            return [event for event in self._accepted() if type is None or event["type"] == type]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout):
                raise TimeoutError(f"{len(found())} of {count} events were accepted within {timeout:g} s{self._why()}")
            return found()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="webhook-receiver", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _accepted(self) -> list[dict[str, Any]]:
        accepted = (each for each in self._requests if each.event is not None and 200 <= each.status <= 299)
        return list({each.webhook_id: each.event for each in accepted if each.event is not None}.values())

    def _why(self) -> str:
        errors = {each.error: None for each in self._requests if each.error is not None}
        return "".join(f"; refused: {error}" for error in errors)

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        event, error = None, None
        try:
            event = verify_webhook(body, headers, self._secrets)
        except InvalidWebhook as refusal:
            error = str(refusal)
        with self._changed:
            status = _REFUSED if event is None else self._answers.popleft() if self._answers else _ACCEPTED
            self._requests.append(ReceivedWebhook(path, headers, body, event, error, status))
            self._changed.notify_all()
        return status


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of five refuses connections when a sender opens many at once.
    request_queue_size = 128

    def __init__(self, receiver: WebhookReceiver) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.take = receiver._take

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing when a sender breaks off: it comes again."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # Connections stay open: one carries many events.
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status = self.server.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.send_response(status)
        if status != _ACCEPTED:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""
