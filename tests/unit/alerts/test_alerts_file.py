"""The file of alerts: what it may say, and how mistakes are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.alerts import alerts_source
from pipeline.alerts.alerts_file import read_alerts
from pipeline.alerts.alerts_source import AlertsSource
from pipeline.errors import InvalidSettings

SLACK = '[channels.a]\nformat = "slack"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[chanels.a]", "unknown key 'chanels'; did you mean 'channels'"),
        ("channels = 1", "no table in channels"),
        ("[channels.A]\nformat = 'slack'", "name with other characters"),
        ("[channels.a]\nurl = 'https://x.example.com'", "needs format"),
        ("[channels.a]\nformat = 'slak'", "unknown format 'slak'; did you mean 'slack'"),
        (SLACK, "needs url"),
        (SLACK + "url = 'ftp://x'", "no URL in url"),
        (SLACK + "url = 'https://user:hunter2@x.example.com'", "no URL in url"),
        (SLACK + "url = '${NOT_SET_HERE}'", "NOT_SET_HERE is not set"),
        (SLACK + "url = 'https://x.example.com'\nseverities = ['fatal']", "names 'fatal' in severities"),
        (SLACK + "url = 'https://x.example.com'\nrouting_key = 'k'", "unknown key 'routing_key'"),
        (SLACK + "url = 'https://x.example.com'\nrate = 0", "no number from 0.001 to 1000 in rate"),
        ("[channels.a]\nformat = 'webhook'\nurl = 'https://x.example.com'", "PIPELINE_WEBHOOK_SECRET"),
        (
            "[channels.a]\nformat = 'teams'\nurl = 'https://acme.webhook.office.com/x'",
            "Office 365 connectors no longer exist",
        ),
        ("[channels.a]\nformat = 'email'\nurl = 'https://x.example.com'", "SMTP server"),
        ("[channels.a]\nformat = 'command'\ncommand = 'rm'", "no list of texts in command"),
        ("[rules.batch_stuk]", "unknown rule 'batch_stuk'; did you mean 'batch_stuck'"),
        ("[rules.batch_stuck]\nafter_seconds = true", "no number from 1"),
        ("[rules.batch_failing]\nrate = 1.5", "no number from 0.001 to 1 in rate"),
        ("[rules.batch_failing]\nmin_items = 1.5", "no whole number"),
        ("[rules.batch_late]\nenabled = 'no'", "neither true nor false"),
        ("[heartbeat]\nevery_seconds = 5", "needs url"),
        ("a = ", "Invalid value"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "alerts.toml").write_text(text)
    with pytest.raises(InvalidSettings, match=message) as raised:
        read_alerts(tmp_path / "alerts.toml", can_sign=False)
    assert "hunter2" not in str(raised.value)


def test_thresholds_and_channels_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AM", "http://am.internal:9093/")
    (tmp_path / "alerts.toml").write_text(
        '[channels.am]\nformat = "alertmanager"\nurl = "${AM}"\nheaders = { Authorization = "Bearer x" }\n'
        "[rules.batch_stuck]\nafter_seconds = 5\nseverity = 'info'\n[rules.batch_late]\nenabled = false\n"
    )
    found = read_alerts(tmp_path / "alerts.toml", can_sign=False)
    channel = found.channels["am"]
    assert channel.url == "http://am.internal:9093/api/v2/alerts"
    assert dict(channel.headers) == {"authorization": "Bearer x"}
    assert "Bearer" not in repr(found)
    assert "am.internal" not in repr(found)
    assert found.rules["batch_stuck"].thresholds == {"after_seconds": 5}
    assert not found.rules["batch_late"].is_enabled


def test_a_file_that_becomes_wrong_changes_nothing_and_one_that_is_right_again_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts_source, "CHECK_SECONDS", 0.0)
    path = tmp_path / "alerts.toml"
    path.write_text("[rules.batch_stuck]\nafter_seconds = 5\n")
    source = AlertsSource(path, can_sign=False)
    for number, text in enumerate(("broken", "[rules.batch_stuck]\nafter_seconds = 50\n")):
        path.write_text(text)
        os.utime(path, ns=(number, number))
        source.current()
        if text == "broken":
            assert source.current().rules["batch_stuck"].thresholds == {"after_seconds": 5}
    assert source.current().rules["batch_stuck"].thresholds == {"after_seconds": 50}
    assert [record.message.split()[0] for record in caplog.records if record.levelname == "ERROR"] == [
        "alerts_not_readable"
    ]
