"""Workers with channels: what goes wrong is told once, and its end once, to a webhook, Slack and an Alertmanager."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.alertmanager import PROGRAM, Alertmanager, running_alertmanager
from tests.support.factories import make_items
from tests.support.receivers.scripted import Scripted, answer
from tests.support.servers.fixtures import on_redis
from tests.support.servers.postgres import Postgres
from tests.support.servers.worker import Cluster, wait_for

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(400),
    pytest.mark.skipif(PROGRAM is None, reason="left out: no `prometheus-alertmanager` on PATH"),
]

SLOW = """
import time
from pipeline import Permanent

def classify(item):
    number = int(item.text.rpartition(" ")[2])
    if number <= 30:
        raise Permanent("never")
    if number == 60:
        time.sleep(50)
    return "x"

def enrich(item):
    return {}
"""


class Channels:
    """What three channels were told."""

    def __init__(self, webhook: Scripted, slack: Scripted, manager: Alertmanager) -> None:
        self.webhook, self.slack, self.manager = webhook, slack, manager

    @property
    def text(self) -> str:
        return (
            f'[channels.hook]\nformat = "webhook"\nurl = "{self.webhook.url}"\n'
            f'[channels.slack]\nformat = "slack"\nurl = "{self.slack.url}"\nrate = 100\n'
            f'[channels.am]\nformat = "alertmanager"\nurl = "{self.manager.url}"\n'
            f'[heartbeat]\nurl = "{self.webhook.url}"\nevery_seconds = 5\n'
            "[rules.batch_failing]\nmin_items = 20\n"
            "[rules.nothing_runs]\nafter_seconds = 5\n"
            "[rules.database_unreachable]\nafter_seconds = 10\n"
        )

    def of(self, name: str) -> tuple[list[str], list[str], list[str]]:
        """Return what each channel was told of a rule, in order."""
        hook = [orjson.loads(each.body) for each in self.webhook.requests]
        slack = [orjson.loads(each.body)["text"] for each in self.slack.requests]
        manager = [orjson.loads(each.body) for each in self.manager.receiver.requests]
        return (
            [each["type"].partition(".")[2] for each in hook if each and each["data"]["name"] == name],
            ["resolved" if "[RESOLVED]" in each else "firing" for each in slack if f"] {name}:" in each],
            [alert["status"] for each in manager for alert in each["alerts"] if alert["labels"]["alertname"] == name],
        )

    @property
    def beats(self) -> int:
        return sum(each.body == b"{}" for each in self.webhook.requests)


@pytest.fixture
def channels(tmp_path: Path) -> Iterator[Channels]:
    with Scripted(answer()) as webhook, Scripted(answer()) as slack, running_alertmanager(tmp_path) as manager:
        yield Channels(webhook, slack, manager)


FIRING, BOTH = (["firing"],) * 3, (["firing", "resolved"],) * 3


@on_redis
def test_each_trouble_is_told_once_and_its_end_once(
    cluster: Cluster, channels: Channels, postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "alerts.toml").write_text(channels.text)
    alerts = {"alerts": tmp_path / "alerts.toml"}
    control = [cluster.worker("--queues", "control,deliver", **alerts) for _ in range(2)]
    cluster.worker("--queues", "classify")
    with Scripted(answer(410)) as gone:
        batch = cluster.client.submit(make_items(60), cluster.definition(SLOW), callback_url=gone.url)
        # Items die; nobody serves `enrich`; a receiver is gone.
        for name in ("batch_failing", "nothing_runs", "endpoint_disabled"):
            wait_for(lambda name=name: channels.of(name) == FIRING, 120)
        assert cluster.exit_code("alerts", "list") == 0
        enrich = cluster.worker("--queues", "enrich")
        gone.answering = answer()
        assert cluster.exit_code("endpoints", "enable", gone.url) == 0
        for name in ("nothing_runs", "endpoint_disabled"):
            wait_for(lambda name=name: channels.of(name) == BOTH, 120)
        batch.wait(120)
    wait_for(lambda: channels.of("batch_failing") == BOTH, 60)
    assert channels.beats > 2
    # The database is away: two processes of this host, and one that tells.
    began = time.monotonic()
    postgres.stop()
    try:
        wait_for(lambda: all(each[:1] == ["firing"] for each in channels.of("database_unreachable")), 90)
        beats = channels.beats
    finally:
        postgres.start()
    wait_for(lambda: channels.of("database_unreachable") == BOTH, 90)
    wait_for(lambda: channels.beats > beats, 60)
    print("outage told and over after", time.monotonic() - began)
    # A process that holds the lease is killed: the other one goes on, and says nothing twice.
    control[0].kill()
    enrich.kill()
    batch = cluster.client.submit(make_items(60)[30:], cluster.definition(SLOW))
    wait_for(lambda: channels.of("nothing_runs") == (["firing", "resolved", "firing"],) * 3, 120)
    batch.cancel()
