"""`pipeline deliveries`: list, show and replay deliveries."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.cli.show.output import format_time
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.scripted import Scripted, answer
from tests.support.terminal import Terminal


@pytest.fixture(autouse=True)
def _signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")


def call_back(terminal: Terminal, url: str) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote"])
    terminal.run("run", str(items), "--callback-url", f"{url}?token=hidden", "--callback-wait", "2")


def test_deliveries_are_listed_and_shown_without_secrets(terminal: Terminal) -> None:
    with Receiver() as receiver:
        call_back(terminal, receiver.url)
    listed = terminal.data("deliveries", "list", "--batch", "last")
    assert [delivery["state"] for delivery in listed] == ["delivered", "delivered"]
    assert terminal.data("deliveries", "list", "--state", "dead") == []
    shown = terminal.data("deliveries", "show", str(listed[0]["id"]))
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["succeeded"]
    for words in [("deliveries", "list"), ("deliveries", "show", "1"), ("show", "m-1")]:
        text = terminal.run(*words).stdout
        assert "/hook" in text
        assert "hidden" not in text


def test_a_replayed_delivery_is_resent_with_the_same_id_and_body(terminal: Terminal) -> None:
    with Receiver() as receiver:
        call_back(terminal, receiver.url)
        delivery = terminal.data("deliveries", "list")[0]
        assert terminal.run("deliveries", "replay", str(delivery["id"])).exit_code == 0
        assert terminal.data("deliveries", "show", str(delivery["id"]))["state"] == "pending"
        assert terminal.run("run", "--batch", "last").exit_code == 0
        first, second = receiver.bodies[delivery["webhook_id"]]
        assert receiver.unverified == 0
    assert first == second
    shown = terminal.data("deliveries", "show", str(delivery["id"]))
    assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2]


def test_a_failed_attempt_is_explained(terminal: Terminal) -> None:
    with Receiver() as receiver:
        url = receiver.url
    call_back(terminal, url)
    pending = terminal.data("deliveries", "list", "--state", "pending")
    assert len(pending) == 2
    assert {delivery["last_error"] for delivery in pending} == {"connection_refused"}
    assert "nothing is listening" in terminal.run("deliveries", "show", str(pending[0]["id"])).stdout


def test_an_unknown_delivery_is_answered_with_how_to_find_one(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    for words in [("show", "99"), ("replay", "99")]:
        result = terminal.run("deliveries", *words)
        assert result.exit_code == 2
        assert "pipeline deliveries list" in result.stderr


def deliver_bundle(terminal: Terminal, receiver: Receiver) -> list[dict[str, Any]]:
    """Deliver two items in one request, and return their deliveries."""
    origin = receiver.url.rpartition("/")[0]
    assert terminal.run("endpoints", "set", origin, "--coalesce", "2", "--coalesce-ms", "10000").exit_code == 0
    call_back(terminal, receiver.url)
    listed: list[dict[str, Any]] = terminal.data("deliveries", "list")
    return listed


def test_a_delivery_is_found_by_its_webhook_id_or_its_bundles(terminal: Terminal) -> None:
    with Receiver() as receiver:
        two, one = deliver_bundle(terminal, receiver)
    assert (one["bundle"], one["state"]) == (two["bundle"], "delivered")
    assert one["bundle"] not in (None, one["webhook_id"])
    assert terminal.data("deliveries", "show", one["webhook_id"])["id"] == one["id"] == 1
    listed = terminal.data("deliveries", "list", "--webhook-id", one["bundle"])
    assert [delivery["id"] for delivery in listed] == [2, 1]
    result = terminal.run("deliveries", "show", one["bundle"])
    assert (result.exit_code, "several deliveries: 2, 1; give one" in result.stderr) == (2, True)
    assert terminal.data("deliveries", "replay", two["webhook_id"])["state"] == "pending"


@pytest.mark.parametrize("verb", ["show", "replay"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("99999999999999999999999999", "there is no delivery 99999999999999999999999999"),
        ("0", "there is no delivery 0"),
        ("T-1", "'T-1' is not a delivery; give its id"),
        ("msg_nothing", "no delivery has the webhook id 'msg_nothing'"),
        ("msg_0000000000000000000000000001", "no delivery has the webhook id"),
    ],
)
def test_an_invalid_delivery_id_is_rejected(terminal: Terminal, verb: str, name: str, message: str) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    result = terminal.run("deliveries", verb, name)
    assert (result.exit_code, message in " ".join(result.stderr.split())) == (2, True), result.stderr


def test_deliveries_are_filtered_by_item_url_and_time_and_paged(terminal: Terminal) -> None:
    with Receiver() as receiver:
        call_back(terminal, receiver.url)
    two, one = terminal.data("deliveries", "list")
    assert {"created_at", "endpoint", "key", "webhook_id", "waits"} <= set(one)
    assert (one["key"], one["item_id"].endswith("-1"), one["endpoint"]) == ("m-1", True, receiver.url[:-5])

    def ids(*words: str) -> list[int]:
        return [delivery["id"] for delivery in terminal.data("deliveries", "list", *words)]

    assert (ids("--item", two["item_id"]), ids("--item", "m-1")) == ([2], [1])
    assert (ids("--item", two["item_id"], "--batch", "last"), ids("--before", "2")) == ([2], [1])
    assert (ids("--url", f"{receiver.url}?token=hidden"), ids("--url", receiver.url)) == ([2, 1], [])
    assert ids("--since", "1h") == [2, 1]
    assert ids("--since", (datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []
    table = terminal.run("deliveries", "list").stdout
    assert f"{one['item_id']}  m-1" in table
    assert datetime.fromisoformat(one["finished_at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S") in table
    assert "there is no item 'm-9'" in terminal.run("deliveries", "list", "--item", "m-9").stderr
    (shown,) = terminal.data("show", "m-1")["deliveries"]
    assert shown["webhook_id"] == one["webhook_id"]


def test_the_reason_for_which_a_delivery_waits_is_shown(terminal: Terminal) -> None:
    with Receiver() as receiver:
        terminal.run("submit", str(terminal.write_items(["x"])), "-p", str(terminal.write_definition()))
        terminal.run("endpoints", "disable", receiver.url, "--reason", "it moves")
        call_back(terminal, receiver.url)
        _, paused = terminal.data("deliveries", "list", "--state", "paused")
        assert (paused["waits"]["endpoint"], paused["waits"]["reason"]) == ("disabled", "manual: it moves")
        waits = terminal.run("deliveries", "show", str(paused["id"])).stdout
        assert "waits for          endpoint disabled since" in waits
        assert "endpoint disabled since" in terminal.run("deliveries", "list", "--state", "paused").stdout
        again = terminal.run("run", "--batch", "last")
        assert "2 callbacks dead or paused (endpoint disabled since" in again.stderr
        summary = json.loads(terminal.run("run", "--batch", "last", "--json").stdout)
        assert summary["callback_waits"].startswith("endpoint disabled since")


def test_a_delivery_waits_for_a_throttled_endpoint(terminal: Terminal) -> None:
    with Scripted(answer(429, "retry-after: 600")) as receiver:
        call_back(terminal, receiver.url.partition("?")[0])
        first = terminal.data("deliveries", "list")[-1]
        assert first["waits"]["endpoint"] == "throttled"
        due = datetime.fromisoformat(first["waits"]["until"])
        assert due > datetime.now(UTC)
        assert f"endpoint throttled until {format_time(due)}" in terminal.run("deliveries", "show", "1").stdout


def test_a_receiver_that_aborts_an_event_is_quoted(terminal: Terminal) -> None:
    with Scripted(answer(500, "webhook-delivery: abort-message")) as receiver:
        call_back(terminal, receiver.url.partition("?")[0])
        assert json.loads(terminal.run("run", "--batch", "last", "--json").stdout)["callback_error"] == "http_500"
    shown = terminal.data("deliveries", "show", "1")
    message = "the receiver responded with 500; the receiver asked not to get this event again"
    assert (shown["state"], shown["attempts"][0]["error_message"]) == ("dead", message)
