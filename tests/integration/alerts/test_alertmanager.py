"""A real Prometheus Alertmanager takes alerts, and tells its own receiver of each once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.alerts.rules.channel import AlertChannel, ChannelFormat
from pipeline.database.engine import Database
from pipeline.delivery.alerts.send_now import DirectSender
from tests.support.alertmanager import PROGRAM, Alertmanager, running_alertmanager
from tests.support.telling import end, fire, telling, utc_now

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(PROGRAM is None, reason="left out: no `prometheus-alertmanager` on PATH"),
]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One database: which it is makes no difference here."""
    return sqlite_url


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    with running_alertmanager(tmp_path) as found:
        yield found


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
