"""A receiver on a real socket that keeps every request as it came and answers as a test says."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request as it stood on the wire."""

    line: str
    names: tuple[str, ...]
    headers: dict[str, str]
    body: bytes


#: Answers a request on its socket; True keeps the connection.
Answering = Callable[[Request, socket.socket], bool]


def answer(status: int = 200, *headers: str, body: bytes = b"ok") -> Answering:
    """Return an answer with a status and further header lines."""
    head = "\r\n".join([f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", *headers])

    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        return True

    return say


def in_turn(*answers: Answering) -> Answering:
    """Return an answering that uses each once, and the last from then on."""
    left = list(answers)
    lock = threading.Lock()

    def say(request: Request, connection: socket.socket) -> bool:
        with lock:
            now = left.pop(0) if len(left) > 1 else left[0]
        return now(request, connection)

    return say


class Scripted:
    """Listens on 127.0.0.1. `connections` counts what was accepted, `closed` what the other side ended."""

    def __init__(self, answering: Answering, *, tls: ssl.SSLContext | None = None, greeting: bytes = b"") -> None:
        """Speak TLS where `tls` is given; say `greeting` to every connection at once, and no more."""
        self.answering = answering
        self.tls = tls
        self.greeting = greeting
        self.requests: list[Request] = []
        self.connections = 0
        self.closed = 0
        self.leaving = threading.Event()
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    def wait_for(self, condition: Callable[[Scripted], bool], timeout: float = 30) -> None:
        """Wait until `condition` holds for what has arrived.

        Raises:
            AssertionError: it does not, after `timeout` seconds.
        """
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), timeout), f"{len(self.requests)} requests arrived"

    def drip(self, connection: socket.socket, piece: bytes) -> bool:
        """Send `piece` again and again until the other side goes away, and count that."""
        try:
            while not self.leaving.wait(0.02):
                connection.sendall(piece)
        except OSError:
            self.saw(closed=1)
        return False

    def silence(self, _: Request, connection: socket.socket) -> bool:
        """Say nothing until the other side goes away, and count that."""
        connection.settimeout(0.05)
        while not self.leaving.is_set():
            try:
                if connection.recv(1) == b"":
                    self.saw(closed=1)
                    break
            except TimeoutError:
                continue
            except OSError:
                self.saw(closed=1)
                break
        return False

    def saw(self, request: Request | None = None, connections: int = 0, closed: int = 0) -> None:
        with self._changed:
            self.connections += connections
            self.closed += closed
            if request is not None:
                self.requests.append(request)
            self._changed.notify_all()

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leaving.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.server.receiver.tls is not None:
            self.request = self.server.receiver.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        receiver = self.server.receiver
        receiver.saw(connections=1)
        if receiver.greeting:
            self.connection.sendall(receiver.greeting)
            return
        while (request := _read(self.rfile)) is not None:
            receiver.saw(request)
            if not receiver.answering(request, self.connection):
                return
        receiver.saw(closed=1)

    def finish(self) -> None:
        # What is unsent when a test hangs up is nobody's loss.
        self.rfile.close()
        # The server closes what it has accepted; a socket of TLS has taken that one's place.
        self.connection.close()


class _Server(socketserver.ThreadingTCPServer):
    """Keeps quiet about connections that end badly: that they do is what is tested."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    receiver: Scripted

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


def _read(stream: Any) -> Request | None:
    line = stream.readline().decode()
    if not line:
        return None
    pairs = []
    while (header := stream.readline().decode().rstrip("\r\n")) != "":
        name, _, value = header.partition(": ")
        pairs.append((name, value))
    headers = dict(pairs)
    body = stream.read(int(headers.get("content-length") or headers.get("Content-Length") or 0))
    return Request(line.rstrip("\r\n"), tuple(name for name, _ in pairs), headers, body)
