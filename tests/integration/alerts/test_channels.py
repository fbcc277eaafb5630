"""Alerts reach their channels: once that they fire, once that they are over, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from pipeline.alerts.alerts_source import AlertsSource
from pipeline.alerts.rules.channel import AlertChannel, AlertSettings, ChannelFormat
from pipeline.alerts.rules.episode import Severity
from pipeline.alerts.sql import alerts
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.delivery.alerts.announce import Announcer
from pipeline.delivery.alerts.views import list_alerts, resolve_alert, show_alert
from pipeline.domain.retry_schedule import ALL_SCHEDULES, Schedule
from pipeline.errors import Conflict
from tests.support.receivers.owed import AT_ONCE, SECRET, context_of
from tests.support.receivers.scripted import Scripted, answer, in_turn
from tests.support.telling import end, fire, telling, utc_now


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One database: which it is makes no difference here."""
    return sqlite_url


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Schedule(delays=(AT_ONCE,) * 10, min_jitter=AT_ONCE)
    monkeypatch.setitem(ALL_SCHEDULES, "alerts", quick)


def bodies(receiver: Scripted) -> list[Any]:
    return [orjson.loads(request.body) for request in receiver.requests]


def channel(name: str, format_: str, port: int, **more: str) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[channels.{name}]\nformat = "{format_}"\nurl = "http://127.0.0.1:{port}/x"\n{lines}\n'


def test_every_channel_hears_of_an_alert_and_of_its_end_once(database: Database, tmp_path: Path) -> None:
    with (
        Scripted(answer(204, body=b"")) as webhook,
        Scripted(answer()) as slack,
        Scripted(answer(202)) as teams,
        Scripted(answer(202)) as pager,
        Scripted(answer()) as alertmanager,
    ):
        text = (
            channel("hook", "webhook", webhook.port)
            + channel("ops", "slack", slack.port, rate="100")
            + channel("team", "teams", teams.port)
            + channel("pager", "pagerduty", pager.port, routing_key='"key-1"')
            + channel("manager", "alertmanager", alertmanager.port)
        )
        with telling(database, tmp_path, text) as told:
            alert_id = fire(database)
            told.tell()
            end(database)
            told.tell()
    for receiver in (webhook, slack, teams, pager, alertmanager):
        assert len(receiver.requests) == 2
    request = webhook.requests[0]
    verified: Mapping[str, Any] = Webhook(SECRET).verify(request.body, request.headers)
    assert verified["data"]["alert_id"] == alert_id
    assert [each["type"] for each in bodies(webhook)] == ["alert.firing", "alert.resolved"]
    assert "batch &lt;b&gt; &amp; others are late" in bodies(slack)[0]["text"]
    assert [each["event_action"] for each in bodies(pager)] == ["trigger", "resolve"]
    assert {each["dedup_key"] for each in bodies(pager)} == {alert_id}
    (first,), (last,) = bodies(alertmanager)
    assert first["labels"] == last["labels"]
    assert first["endsAt"] > last["endsAt"]
    assert alertmanager.requests[0].line == "POST /x/api/v2/alerts HTTP/1.1"
    assert bodies(teams)[0]["attachments"][0]["content"]["type"] == "AdaptiveCard"
    # What opens a channel is in the operator's file only.
    with database.read() as connection:
        stored = connection.exec_driver_sql("SELECT url, origin FROM deliveries").all()
    assert {url for url, _ in stored} == {f"alert://{name}" for name in ("hook", "ops", "team", "pager", "manager")}
    shown = show_alert(context_of(database), alert_id[:8])
    assert {each["state"] for each in shown["channels"]} == {"delivered"}
    assert len(shown["channels"]) == 10


def test_a_channel_that_fails_is_tried_again_and_hears_of_the_end_last(database: Database, tmp_path: Path) -> None:
    answers = [answer(500), answer(410), answer(302, "location: http://127.0.0.1:1/"), answer()]
    with Scripted(in_turn(*answers)) as slow, Scripted(answer()) as quick:
        text = channel("slow", "slack", slow.port, rate="1000") + channel("quick", "slack", quick.port, rate="1000")
        with telling(database, tmp_path, text) as told:
            fire(database)
            told.announcer.announce()
            end(database)
            told.tell()
    states = [each["text"].split("[")[1][:8] for each in bodies(slow)]
    assert states == ["CRITICAL"] * 4 + ["RESOLVED"]
    assert len(quick.requests) == 2
    with database.read() as connection:
        disabled = connection.exec_driver_sql("SELECT count(*) FROM endpoints WHERE disabled_at IS NOT NULL").scalar()
    assert disabled == 0


def test_a_channel_takes_what_it_asks_for(database: Database, tmp_path: Path) -> None:
    with Scripted(answer()) as critical, Scripted(answer()) as of_rule:
        text = channel("a", "slack", critical.port, severities='["critical"]', rate="1000") + channel(
            "b", "slack", of_rule.port, rules='["batch_stuck"]', rate="1000"
        )
        with telling(database, tmp_path, text) as told:
            fire(database, "batch_stuck:1", Severity.WARNING)
            fire(database, "batch_late:1", Severity.CRITICAL)
            told.tell()
    assert [each["text"].partition(": ")[0][-10:] for each in bodies(critical)] == ["batch_late"]
    assert [each["text"].partition(": ")[0][-11:] for each in bodies(of_rule)] == ["batch_stuck"]


def test_of_a_storm_channels_hear_the_first_ones_and_one_alert_for_all(database: Database, tmp_path: Path) -> None:
    with Scripted(answer()) as receiver:
        text = channel("a", "slack", receiver.port, rate="1000") + "[rules.many_alerts]\nalerts = 5\n"
        with telling(database, tmp_path, text) as told:
            for number in range(30):
                fire(database, f"batch_stuck:{number}")
            told.tell()
            told.tell()
            for number in range(30):
                end(database, f"batch_stuck:{number}")
            told.tell()
    firing = [each["text"] for each in bodies(receiver) if "RESOLVED" not in each["text"]]
    assert len(firing) == 6
    # Several are sent at once.
    (of_all,) = [text for text in firing if "batch &lt;b&gt;" not in text]
    assert "30 alerts opened within a minute: 30 batch_stuck" in of_all
    assert len(receiver.requests) == 6 + 5
    with database.read() as connection:
        assert len(alerts.find_page(connection, 100)) == 31


def test_a_command_gets_an_alert_on_its_standard_input(database: Database, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f'import os, sys; open({str(out)!r}, "a").write(os.environ["ALERT_STATE"] + sys.stdin.read() + chr(10))'
    text = f"[channels.a]\nformat = 'command'\ncommand = ['python3', '-c', {orjson.dumps(script).decode()}]\n"
    with telling(database, tmp_path, text) as told:
        fire(database)
        told.tell()
        end(database)
        told.tell()
    lines = out.read_text().splitlines()
    assert [line.partition("{")[0] for line in lines] == ["firing", "resolved"]
    assert orjson.loads(lines[0].removeprefix("firing"))["data"]["value"] == {"seconds": 7}


def test_of_four_that_announce_at_once_one_tells(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    source = AlertsSource(None, can_sign=True)
    monkeypatch.setattr(source, "_settings", AlertSettings({"a": AlertChannel("a", ChannelFormat.SLACK)}))
    others = [Announcer(database, utc_now, source.current) for _ in range(4)]
    fire(database)
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(lambda each: each.announce(), others)) == 1


def test_an_alert_can_be_resolved_by_hand_once(database: Database) -> None:
    context: Context = context_of(database)
    alert_id = fire(database)
    found = resolve_alert(context, alert_id)
    assert (found["state"], found["reason"], found["resolved_by"]) == ("resolved", "manual", context.actor)
    with pytest.raises(Conflict, match="resolved already"):
        resolve_alert(context, alert_id)
    assert list_alerts(context, 10) == []
    assert len(list_alerts(context, 10, with_resolved=True)) == 1
