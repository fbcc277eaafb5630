"""A Prometheus Alertmanager, and the receiver that it tells."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.support.receivers.owed import wait_until
from tests.support.receivers.scripted import Scripted, answer
from tests.support.servers.server import free_port

#: Debian's package `prometheus-alertmanager`, or a program of the project.
PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@dataclass
class Alertmanager:
    url: str
    receiver: Scripted

    def alerts(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as response:
            found: list[dict[str, Any]] = orjson.loads(response.read())
        return found

    def told(self) -> list[str]:
        bodies = [orjson.loads(request.body) for request in self.receiver.requests]
        return [alert["status"] for body in bodies for alert in body["alerts"]]


@contextmanager
def running_alertmanager(folder: Path) -> Iterator[Alertmanager]:
    """Run an Alertmanager that keeps its data in `folder`."""
    assert PROGRAM is not None
    with Scripted(answer()) as receiver:
        config = {
            "route": {"receiver": "r", "group_by": ["key"], "group_wait": "100ms", "group_interval": "500ms"},
            "receivers": [{"name": "r", "webhook_configs": [{"url": receiver.url, "send_resolved": True}]}],
        }
        (folder / "config.yml").write_bytes(orjson.dumps(config))
        port = free_port()
        options = {
            "config.file": folder / "config.yml",
            "storage.path": folder / "data",
            "web.listen-address": f"127.0.0.1:{port}",
            "cluster.listen-address": "",
        }
        command = [PROGRAM, *(f"--{name}={value}" for name, value in options.items())]
        with open(folder / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            found = Alertmanager(f"http://127.0.0.1:{port}", receiver)
            try:
                wait_until(lambda: _answers(found.url))
                yield found
            finally:
                process.terminate()


def _answers(url: str) -> bool:
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):
        return True
    return False
