"""`pipeline deliveries`: what is owed, what was answered, and once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.receiver import SECRET, Receiver
from tests.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path)


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
    assert [each["state"] for each in listed] == ["delivered", "delivered"]
    assert terminal.data("deliveries", "list", "--state", "dead") == []
    shown = terminal.data("deliveries", "show", str(listed[0]["id"]))
    assert [each["outcome"] for each in shown["attempts"]] == ["succeeded"]
    for words in [("deliveries", "list"), ("deliveries", "show", "1"), ("show", "m-1")]:
        text = terminal.run(*words).stdout
        assert "/hook" in text
        assert "hidden" not in text


def test_a_replayed_delivery_arrives_again_with_the_same_id_and_body(terminal: Terminal) -> None:
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
    assert [each["number"] for each in shown["attempts"]] == [1, 2]


def test_a_failed_attempt_is_explained(terminal: Terminal) -> None:
    with Receiver() as receiver:
        url = receiver.url
    call_back(terminal, url)
    found = terminal.data("deliveries", "list", "--state", "pending")
    assert len(found) == 2
    assert {each["last_error"] for each in found} == {"connection_refused"}
    assert "nothing listens" in terminal.run("deliveries", "show", str(found[0]["id"])).stdout


def test_an_unknown_delivery_says_how_to_find_one(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    for words in [("show", "99"), ("replay", "99")]:
        result = terminal.run("deliveries", *words)
        assert result.exit_code == 2
        assert "pipeline deliveries list" in result.stderr
