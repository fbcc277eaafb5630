"""A proxy that cuts connections: before it passes a request on, or after so many bytes of the answer."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
