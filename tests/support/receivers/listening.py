"""A receiver whose every connection a test talks to itself, in bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def listening(talk: Callable[[socket.socket], None], family: socket.AddressFamily = socket.AF_INET) -> Iterator[int]:
    """Have each connection talked to on a thread; yield the port."""
    address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    server = socket.create_server((address, 0), family=family)

    def run(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            talk(connection)
            leaving.wait(30)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=run, args=(server.accept()[0],), daemon=True).start()

    leaving = threading.Event()
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        leaving.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
