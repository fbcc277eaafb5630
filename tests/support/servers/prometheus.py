"""Prometheus of the tests' own, which scrapes every second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from tests.support.servers.metrics import get
from tests.support.servers.server import NotAvailable, Server

_CONFIGURATION = """
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: pipeline
    static_configs: [ { targets: [%s] } ]
"""


class Prometheus(Server):
    """A server that scrapes these targets."""

    name = "prometheus"

    def __init__(self, targets: Sequence[str]) -> None:
        binary = shutil.which("prometheus")
        if binary is None:
            raise NotAvailable("no `prometheus` on PATH")
        self._binary = binary
        super().__init__()
        quoted = ", ".join(f'"{target}"' for target in targets)
        (self.folder / "prometheus.yml").write_text(_CONFIGURATION % quoted)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _launch(self) -> None:
        options = [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self._spawn([self._binary, *options])

    def _probe(self) -> None:
        status, _, body = get(self.port, "/-/ready")
        if status != 200:
            raise OSError(body)

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API."""
        return json.loads(get(self.port, f"/api/v1/{path}?{urlencode(parameters)}")[2])["data"]

    def value(self, expression: str) -> float | None:
        """Return the one value of an expression; None if it has none."""
        found = self.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def health(self) -> list[tuple[str, str]]:
        """Return the health of each target, with its last error."""
        return [(each["health"], each["lastError"]) for each in self.get("targets")["activeTargets"]]
