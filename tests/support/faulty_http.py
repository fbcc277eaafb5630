"""A proxy that cuts answers, and a server that refuses everything: what stands between us and an object store."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_BLOCK = 64 * 1024


class CuttingProxy:
    """Passes bytes on, and cuts the first connections after so many bytes of the answer.

    Args:
        port: of the server behind it.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        #: Answers that are still to be cut, and after how many bytes.
        self.cuts = 0
        self.after = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._target)) as server:
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            passed = 0
            while block := server.recv(_BLOCK):
                if self.cuts and passed + len(block) > self.after:
                    self.cuts -= 1
                    client.sendall(block[: self.after - passed])
                    # Closing alone would wait for the thread that reads from it.
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(block)
                passed += len(block)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def refusing(status: int, code: str) -> Iterator[str]:
    """Serve an S3 that answers every request with an error. Yield its URL.

    Args:
        code: of the error; empty: answers have no body, as those of a proxy before the store.
    """
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'
    body = text.encode() if code else b""

    def answer(self: BaseHTTPRequestHandler) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    handler: dict[str, Callable[..., Any]] = {f"do_{method}": answer for method in ("GET", "PUT", "HEAD", "POST")}
    quiet = {"log_message": lambda *_: None}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Refusing", (BaseHTTPRequestHandler,), handler | quiet))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def answering(answer: Callable[[bytes], tuple[int, bytes]]) -> Iterator[tuple[str, list[bytes]]]:
    """Serve JSON to every POST as a function decides. Yield the URL, and the bodies that were taken.

    Args:
        answer: returns status and body for the body of a request.
    """
    taken: list[bytes] = []

    def post(self: BaseHTTPRequestHandler) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        taken.append(body)
        status, content = answer(body)
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    handler: dict[str, Callable[..., Any]] = {"do_POST": post, "log_message": lambda *_: None}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answering", (BaseHTTPRequestHandler,), handler))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
