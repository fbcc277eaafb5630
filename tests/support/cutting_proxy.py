"""A proxy that cuts connections: before it passes a request on, or after so many bytes of the answer."""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

#: Returns after how many bytes of the answer to cut; None: the answer passes. -1: the request does not.
Cut = Callable[[str, str], int | None]


class Cuts:
    """Cuts every third request of a kind that may be sent again: two of one target never follow each other."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self.number = 0

    def __call__(self, method: str, target: str) -> int | None:
        path = target.partition("?")[0]
        if method == "POST" and not (path == "/v1/batches" or path.endswith("/seal")):
            return None
        with self._lock:
            self.seen[method, path] += 1
            if self.seen[method, path] % 3 != 1:
                return None
            self.number += 1
            # Nothing, a part of the head, of the body, and everything but the end.
            return (-1, 7, 150, 400)[self.number % 4]


@contextmanager
def cutting_proxy(url: str, cut: Cut) -> Iterator[str]:
    """Yield the URL of a proxy in front of a server."""
    target = urlsplit(url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            after = cut(self.command, self.path)
            if after == -1:
                self.close_connection = True
                return
            answer = _answer(target, self.command, self.path, body, dict(self.headers.items()))
            self.wfile.write(answer if after is None else answer[: min(after, len(answer) - 1)])
            self.close_connection = after is not None

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _answer(target: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return the bytes of the server's answer."""
    connection = http.client.HTTPConnection(target, timeout=60)
    connection.request(method, path, body or None, headers)
    response = connection.getresponse()
    content = response.read()
    kept = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP]
    if response.status not in (204, 304):
        kept.append(("Content-Length", str(len(content))))
    connection.close()
    head = f"HTTP/1.1 {response.status} {response.reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in kept)
    return head.encode() + b"\r\n" + content


_HOP_BY_HOP = {"content-length", "transfer-encoding", "connection", "keep-alive"}


class Relay:
    """Passes bytes on, and cuts each connection when so many have come back.

    Args:
        budgets: of the connections in their order; further ones are not cut.
    """

    def __init__(self, url: str, budgets: list[int]) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._budgets = budgets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        #: The first bytes of each connection: the head of its request.
        self.heads: list[str] = []
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_next(self, budget: int) -> None:
        """Close every connection now, and cut the next one after so many bytes."""
        self._budgets.append(budget)
        for each in self._clients:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            budget = self._budgets.pop(0) if self._budgets else None
            threading.Thread(target=self._pass, args=(client, budget), daemon=True).start()

    def _pass(self, client: socket.socket, budget: int | None) -> None:
        with client, socket.create_connection(self._target) as server:
            head = client.recv(65_536)
            self.heads.append(head.decode(errors="replace"))
            server.sendall(head)
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            _copy_some(server, client, budget)
            for each in (client, server):
                # Closing alone would tell nobody while the other thread reads from it.
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


def _copy_some(source: socket.socket, target: socket.socket, left: int | None) -> None:
    with suppress(OSError):
        while data := source.recv(65_536 if left is None else min(left, 65_536)):
            target.sendall(data)
            left = None if left is None else left - len(data)
            if left == 0:
                return


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
