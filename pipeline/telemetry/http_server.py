"""The listener for Prometheus and for probes: GET only, few connections, short ones.

It authenticates nobody: bind it to loopback, or to a network that only the cluster reaches.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import InvalidInput
from pipeline.log import get_logger

log = get_logger(__name__)

#: Connections at the same time; more are closed.
MOST_CONNECTIONS = 4
#: How long a connection may last.
CONNECTION_SECONDS = 5.0
_POLL_SECONDS = 0.25


class PageAnswer:
    """What a path answers.

    Args:
        body: the bytes of the answer.
        media_type: its type.
    """

    def __init__(self, body: bytes, media_type: str = "text/plain; charset=utf-8", status: int = 200) -> None:
        self.body, self.media_type, self.status = body, media_type, status


#: Answers a path from the rest of it and from the `Accept` header; None: there is no such path.
Answering = Callable[[str, str], PageAnswer | None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16
    #: By socket, when it was accepted.
    open: dict[socket.socket, float]
    answers: Mapping[str, Answering]
    changing: Lock

    def server_bind(self) -> None:
        # Not that of HTTPServer, which looks its own name up.
        TCPServer.server_bind(self)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self.changing:
            if len(self.open) >= MOST_CONNECTIONS:
                return False
            self.open[request] = time.monotonic()
        return True

    def service_actions(self) -> None:
        """Cut off connections that last too long. Called several times a second."""
        too_old = time.monotonic() - CONNECTION_SECONDS
        with self.changing:
            for connection, since in self.open.items():
                if since < too_old:
                    _cut_off(connection)

    def shutdown_request(self, request: Any) -> None:
        with self.changing:
            self.open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away."""


class _Server6(_Server):
    address_family = socket.AF_INET6


def _cut_off(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CONNECTION_SECONDS
    server_version, sys_version = "pipeline", ""

    def do_GET(self) -> None:
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.media_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def _page(self) -> PageAnswer:
        first, _, rest = urlsplit(self.path).path.removeprefix("/").partition("/")
        answering = self.server.answers.get(first)
        try:
            found = None if answering is None else answering(rest, self.headers.get("Accept", ""))
        except Exception:
            log.exception("metrics_not_answered")
            return PageAnswer(b"this is a bug of pipeline; its log says more\n", status=500)
        return found or PageAnswer(b"there is no such path\n", status=404)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not GET with 405, and what is not HTTP as the standard library does."""
        super().send_error(405 if code == 501 else code, message, explain)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: every answer is asked for again in a few seconds."""


class MetricsListener:
    """Listens from the moment it is made, and answers from `start` to `stop`.

    Args:
        address: host and port; port 0 takes any free one.
        answers: by the first part of the path.

    Raises:
        InvalidInput: the address cannot be listened on.
    """

    def __init__(self, address: tuple[str, int], answers: Mapping[str, Answering]) -> None:
        kind = _Server6 if ":" in address[0] else _Server
        try:
            self._server = kind(address, _Handler)
        except OSError as error:
            host, port = address
            raise InvalidInput(
                f"cannot listen on {host}:{port} for metrics: {error.strerror}; "
                "stop what listens there, or choose another port"
            ) from None
        self._server.open, self._server.answers, self._server.changing = {}, answers, Lock()
        self._thread = Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="pipeline-metrics-http", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
        self.close()

    def close(self) -> None:
        """Close the socket of this process."""
        self._server.socket.close()
