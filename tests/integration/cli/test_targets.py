"""Results to a queue from the command line: connections, placeholders, refusals, and what the other commands show."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.crypto.verify_webhook import verify_webhook
from tests.support.receiver import SECRET
from tests.support.servers.redis import Redis
from tests.support.servers.server import free_port
from tests.support.terminal import Terminal


@pytest.fixture
def bus(terminal: Terminal, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Redis:
    """An empty Redis that the operator named `bus`, with a password that only the environment holds."""
    redis.clear()
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "sender", "on", ">p4-ss-w0rd", "~results:*", "+xadd")
    text = f'[bus]\nurl = "redis://127.0.0.1:{redis.port}/0"\nusername = "sender"\npassword = "${{BUS_PASSWORD}}"\n'
    monkeypatch.setenv("PIPELINE_CONNECTIONS", str(terminal.write("connections.toml", text)))
    monkeypatch.setenv("BUS_PASSWORD", "p4-ss-w0rd")
    terminal.write_definition()
    return redis


def streams(redis: Redis) -> dict[str, list[dict[str, str]]]:
    with redis.client() as client:
        names = sorted(name.decode() for name in client.keys("*"))
        entries = {name: client.xrange(name) for name in names}
    return {
        name: [{key.decode(): value.decode() for key, value in fields.items()} for _, fields in found]
        for name, found in entries.items()
    }


def test_each_result_is_a_message_in_the_stream_of_its_label(terminal: Terminal, bus: Redis) -> None:
    items = terminal.write_items(["an invoice", "a quote", "your invoice", "no rule knows this"])
    done = terminal.run(
        "run", str(items), "--callback-url", "conn://bus/results:{label}", "--batch-callback-url", "conn://bus/results:{type}"
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    found = streams(bus)
    assert {name: len(entries) for name, entries in found.items()} == {
        "results:batch_completed": 1,
        "results:billing": 2,
        "results:none": 1,
        "results:sales": 1,
    }
    events = [json.loads(entry["body"]) for entries in found.values() for entry in entries]
    assert Counter(event["type"] for event in events) == {"item.completed": 3, "item.failed": 1, "batch.completed": 1}
    # Nothing signs where no secret is set; the broker has verified the sender.
    assert all("webhook-signature" not in entry for entries in found.values() for entry in entries)

    deliveries = terminal.data("deliveries", "list")
    assert {each["state"] for each in deliveries} == {"delivered"}
    assert "conn://bus/results:billing" in {each["url"] for each in deliveries}
    shown = terminal.data("deliveries", "show", str(deliveries[0]["id"]))
    assert shown["attempts"][0]["status"] == 202
    (endpoint,) = terminal.data("endpoints", "list")
    assert (endpoint["origin"], endpoint["state"]) == ("conn://bus", "ok")


def test_with_a_secret_a_consumer_verifies_as_a_receiver_does(
    terminal: Terminal, bus: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    terminal.run("run", str(terminal.write_items(["an invoice"])), "--callback-url", "conn://bus/results:all")
    (entry,) = streams(bus)["results:all"]
    assert verify_webhook(entry["body"].encode(), entry, SECRET)["data"]["label"] == "billing"


def test_a_test_message_is_sent_and_shown(terminal: Terminal, bus: Redis) -> None:
    sent = terminal.data("endpoints", "test", "conn://bus/results:test")
    assert (sent["status"], sent["error"]) == (202, None)
    ((entry,),) = streams(bus).values()
    assert json.loads(entry["body"])["type"] == "webhook.ping"
    assert entry["ce-type"] == "pipeline.webhook.ping"
    refused = terminal.run("endpoints", "test", "conn://bus/elsewhere", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"] == "auth_refused"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("amqp://mq.example/%2F/results/new", "PIPELINE_ALLOW_TARGETS or use a connection"),
        ("redis://me:hunter2@127.0.0.1/0/results", "put the password into a connection: PIPELINE_CONNECTIONS"),
        ("kafka://h:9092/results", "name the brokers in a connection"),
        ("conn://buss/results", "there is no connection 'buss'; did you mean 'bus'?"),
        ("conn://bus", "does not name a database by its number and a stream"),
        ("conn://bus/results?maxlen=many", "has a maxlen that is no number of entries"),
        ("conn://bus/results?maxlin=5", "has the unknown parameter 'maxlin'; it takes maxlen"),
        ("conn://bus/results:{labl}", "no placeholder that is known; these are {label}, {state}, {type}, {batch_id}"),
        ("conn://bus/../1/results", "contains '..'; a connection cannot be left"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_when_the_batch_is_submitted(
    terminal: Terminal, bus: Redis, url: str, problem: str
) -> None:
    refused = terminal.run("submit", str(terminal.write_items(["an invoice"])), "--callback-url", url)
    assert refused.exit_code == 2
    assert "--callback-url" in refused.stderr
    assert problem in " ".join(refused.stderr.split())
    assert "hunter2" not in refused.output


def test_a_planted_secret_is_nowhere(terminal: Terminal, bus: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_PASSWORD", "p4-ss-w0rd-that-is-wrong")
    items = terminal.write_items(["an invoice", "a quote"])
    outputs = [
        terminal.run("run", str(items), "--callback-url", "conn://bus/results:x", "--quiet"),
        terminal.run("deliveries", "list", "--json"),
        terminal.run("deliveries", "show", "1"),
        terminal.run("endpoints", "show", "conn://bus", "--json"),
        terminal.run("endpoints", "test", "conn://bus/results:x"),
        terminal.run("doctor", "--json"),
        terminal.run("status", "last", "--json"),
    ]
    texts = "".join(done.output for done in outputs)
    assert "auth_refused" in texts
    stored = b"".join(path.read_bytes() for path in terminal.folder.iterdir() if path.name.startswith("pipeline.db"))
    assert b"auth_refused" in stored
    assert "p4-ss-w0rd" not in texts
    assert b"p4-ss-w0rd" not in stored


def test_doctor_names_what_a_connection_lacks(terminal: Terminal, bus: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _connection(terminal)["verdict"] == "ok"
    assert _connection(terminal)["value"] == "redis, for sources, intakes, targets, exports"
    monkeypatch.delenv("BUS_PASSWORD")
    found = _connection(terminal)
    assert (found["verdict"], "BUS_PASSWORD" in found["advice"]) == ("warn", True)
    Path(terminal.folder / "connections.toml").write_text("[bus]\nurl = 'ftp://h'\n")
    failed = terminal.run("doctor", "--json")
    assert failed.exit_code == 1
    assert "line 2: connection 'bus' has the unknown scheme 'ftp'" in failed.stdout


def test_an_allowed_host_needs_no_connection(terminal: Terminal, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    redis.clear()
    terminal.write_definition()
    monkeypatch.setenv("PIPELINE_ALLOW_TARGETS", "127.0.0.1")
    url = f"redis://127.0.0.1:{redis.port}/0/open"
    words = ("run", str(terminal.write_items(["an invoice"])), "--callback-url", url)
    refused = terminal.run(*words)
    assert refused.exit_code == 2
    assert "PIPELINE_ALLOW_PRIVATE_CALLBACKS=127.0.0.1/32" in refused.stderr
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")
    assert terminal.run(*words).exit_code == 0
    assert len(streams(redis)["open"]) == 1


def test_a_target_that_is_down_gets_everything_later(
    terminal: Terminal, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.clear()
    terminal.write_definition()
    path = terminal.write("connections.toml", f'[bus]\nurl = "redis://127.0.0.1:{free_port()}/0"\n')
    monkeypatch.setenv("PIPELINE_CONNECTIONS", str(path))
    items = terminal.write_items(["an invoice", "a quote"])
    terminal.run("run", str(items), "--callback-url", "conn://bus/results", "--quiet")
    waiting = terminal.data("deliveries", "list")
    assert {(each["state"], each["last_error"]) for each in waiting} == {("pending", "connection_refused")}
    # After a restart with the right address.
    path.write_text(f'[bus]\nurl = "redis://127.0.0.1:{redis.port}/0"\n')
    for each in waiting:
        terminal.run("deliveries", "replay", str(each["id"]))
    assert terminal.run("deliveries", "send").exit_code == 0
    assert len(streams(redis)["results"]) == 2
    assert len({entry["webhook-id"] for entry in streams(redis)["results"]}) == 2


def _connection(terminal: Terminal) -> dict[str, Any]:
    done = terminal.run("doctor", "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = next(each for each in json.loads(done.stdout) if each["name"] == "connection bus")
    return found
