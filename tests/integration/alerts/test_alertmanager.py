"""A real Prometheus Alertmanager takes alerts, and tells its own receiver of each once."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.alerts.rules.channel import AlertChannel, ChannelFormat
from pipeline.database.engine import Database
from pipeline.delivery.alerts.send_now import DirectSender
from tests.support.receivers.owed import wait_until
from tests.support.receivers.scripted import Scripted, answer
from tests.support.servers.server import free_port
from tests.support.telling import end, fire, telling, utc_now

pytestmark = pytest.mark.conformance
_PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


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


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One database: which it is makes no difference here."""
    return sqlite_url


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    if _PROGRAM is None:
        pytest.skip("left out: no `prometheus-alertmanager` on PATH")
    with Scripted(answer()) as receiver:
        config = {
            "route": {"receiver": "r", "group_by": ["key"], "group_wait": "100ms", "group_interval": "500ms"},
            "receivers": [{"name": "r", "webhook_configs": [{"url": receiver.url, "send_resolved": True}]}],
        }
        (tmp_path / "config.yml").write_bytes(orjson.dumps(config))
        port = free_port()
        options = {
            "config.file": tmp_path / "config.yml",
            "storage.path": tmp_path / "data",
            "web.listen-address": f"127.0.0.1:{port}",
            "cluster.listen-address": "",
        }
        command = [_PROGRAM, *(f"--{name}={value}" for name, value in options.items())]
        with open(tmp_path / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
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


def test_alertmanager_tells_of_an_alert_once_and_of_its_end_once(
    alertmanager: Alertmanager, database: Database, tmp_path: Path
) -> None:
    text = f'[channels.am]\nformat = "alertmanager"\nurl = "{alertmanager.url}"\n'
    with telling(database, tmp_path, text) as told:
        alert_id = fire(database)
        told.tell()
        alertmanager.receiver.wait_for(lambda _: alertmanager.told() == ["firing"])
        (found,) = alertmanager.alerts()
        assert found["annotations"]["alert_id"] == alert_id
        # Repeated every minute: nobody is told again.
        channel = AlertChannel("am", ChannelFormat.ALERTMANAGER, f"{alertmanager.url}/api/v2/alerts")
        sender = DirectSender([], utc_now)
        for _ in range(3):
            assert sender.refresh(channel, told.announcer.find_told(channel)).is_success
        assert [each["fingerprint"] for each in alertmanager.alerts()] == [found["fingerprint"]]
        end(database)
        told.tell()
        alertmanager.receiver.wait_for(lambda _: len(alertmanager.told()) > 1)
    assert alertmanager.told() == ["firing", "resolved"]
