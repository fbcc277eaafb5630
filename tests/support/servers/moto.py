"""SQS of the tests' own: moto's server."""

from __future__ import annotations

import importlib.util
import urllib.request

from tests.support.servers.server import NotAvailable, Server


class Moto(Server):
    """A stand-in for AWS that keeps what it has in memory."""

    name = "moto"

    def __init__(self) -> None:
        if importlib.util.find_spec("moto") is None:
            raise NotAvailable("moto is not installed")
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _launch(self) -> None:
        self._spawn_python(["moto.server", "-H", "127.0.0.1", "-p", str(self.port)], {})

    def _probe(self) -> None:
        urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5).close()
