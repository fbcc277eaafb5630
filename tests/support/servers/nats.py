"""NATS of the tests' own, with JetStream."""

from __future__ import annotations

import shutil
import socket

from tests.support.servers.server import NotAvailable, Server

#: Small, so that an event can be too large.
MAX_PAYLOAD = 32_768

_CONFIGURATION = """
listen: "127.0.0.1:%d"
max_payload: %d
jetstream { store_dir: "%s" }
authorization { users: [
  { user: "tests", password: "right", permissions: { publish: { deny: "forbidden.>" } } }
] }
"""


class Nats(Server):
    """A server with JetStream and one user, `tests`, whose password is `right`."""

    name = "nats"

    def __init__(self) -> None:
        binary = shutil.which("nats-server")
        if binary is None:
            raise NotAvailable("no `nats-server` on PATH")
        self._binary = binary
        super().__init__()

    @property
    def url(self) -> str:
        return f"nats://tests:right@127.0.0.1:{self.port}"

    def _launch(self) -> None:
        configuration = self.folder / "nats.conf"
        configuration.write_text(_CONFIGURATION % (self.port, MAX_PAYLOAD, self.folder / "streams"))
        self._spawn([self._binary, "-c", configuration])

    def _probe(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as opened:
            if not opened.recv(4).startswith(b"INFO"):
                raise OSError("no INFO yet")
