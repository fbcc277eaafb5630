"""Connections to a server, kept open between requests."""

from __future__ import annotations

import http.client
import selectors
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import InvalidSettings

CONNECT_SECONDS = 5.0
#: Longest silence in the middle of an answer. A long poll ends before.
SILENCE_SECONDS = 60.0
#: Connections kept while no request uses them.
_KEPT = 8


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Connections to one server. Thread-safe: each request has one to itself.

    Args:
        url: `http://host:port` or `https://host`, with or without a path in front of the API's.

    Raises:
        InvalidSettings: it is not such a URL.
    """

    def __init__(self, url: str) -> None:
        parts = _parsed(url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port = parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._is_closed = False

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> HttpAnswer:
        """Send one request and return the answer.

        Raises:
            OSError, http.client.HTTPException: the connection failed, before or after the server had the request.
        """
        connection = self._take()
        try:
            connection.request(method, self._prefix + path, body=body, headers=dict(headers))
            response = connection.getresponse()
            if response.length is None and not response.chunked:
                # A head that was cut off looks like one without headers, and its body like an empty one.
                raise http.client.IncompleteRead(b"")
            content = response.read()
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, is_reusable=not response.will_close)
        found = {name.lower(): value for name, value in response.getheaders()}
        return HttpAnswer(response.status, found, content)

    def close(self) -> None:
        """Close the connections that no request uses, and keep no more."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> http.client.HTTPConnection:
        while (idle := self._pop()) is not None:
            if not _was_closed(idle):
                return idle
            idle.close()
        connection = self._new()
        connection.connect()
        connection.sock.settimeout(SILENCE_SECONDS)
        return connection

    def _pop(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _new(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=self._tls)

    def _give_back(self, connection: http.client.HTTPConnection, *, is_reusable: bool) -> None:
        with self._lock:
            if is_reusable and not self._is_closed and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()


def _was_closed(connection: http.client.HTTPConnection) -> bool:
    """Return whether the server has closed a connection that nobody used: something can be read, namely the end.

    A request on it would fail, and one that must not be repeated would be lost without need.
    """
    if connection.sock is None:
        return True
    waiting = selectors.DefaultSelector()
    try:
        waiting.register(connection.sock, selectors.EVENT_READ)
        return bool(waiting.select(0))
    finally:
        waiting.close()


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise InvalidSettings("the server's URL is not one; expected something like https://pipeline.example.com")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InvalidSettings(
            "the server's URL has credentials, a query or a fragment; give scheme, host, port and path, and the key in "
            "PIPELINE_API_KEY"
        )
    return parts
