"""`pipeline endpoints test`: send a ping to an endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.crypto.encryption import new_encryption_key
from pipeline.database.engine import Database
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.owed import endpoints
from tests.support.receivers.scripted import Scripted, answer
from tests.support.terminal import Terminal


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    generated = new_encryption_key()
    monkeypatch.setenv("PIPELINE_ENCRYPTION_KEY", generated)
    return generated


@pytest.fixture
def terminal(terminal: Terminal, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database_url)
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")
    return terminal


def rejected(terminal: Terminal, *words: str, input: str | None = None) -> str:
    """Run a command that must exit with 2; return what it prints to standard error."""
    result = terminal.run("endpoints", *words, input=input)
    assert result.exit_code == 2, result.output
    return result.stderr


def row_of(database_url: str, origin: str) -> dict[str, Any] | None:
    database = Database(database_url)
    try:
        return endpoints(database).get(origin)
    finally:
        database.close()


def test_a_ping_is_signed_and_not_stored(terminal: Terminal, database_url: str) -> None:
    with Receiver() as receiver:
        result = terminal.data("endpoints", "test", f"{receiver.url}?token=hidden")
        assert (result["status"], result["error"], result["url"]) == (204, None, f"{receiver.url}?…")
        (event,) = receiver.events()
        assert event["type"] == "webhook.ping"
        assert set(receiver.bodies) == {result["webhook_id"]}
        assert receiver.unverified == 0
        assert "status            204" in terminal.run("endpoints", "test", receiver.url).stdout
    assert terminal.data("endpoints", "list") == []
    assert terminal.data("deliveries", "list") == []


@pytest.mark.parametrize(
    ("status", "header", "message"),
    [
        (500, "x-a: b", "the receiver responded with 500"),
        (404, "x-a: b", "the receiver has nothing at that path"),
        (302, "location: https://elsewhere.example/x", "redirected to elsewhere.example"),
        (410, "x-a: b", "this response to a callback disables the endpoint"),
        (500, "webhook-delivery: abort-message", "this response to a callback makes the callback dead at once"),
    ],
)
def test_a_failed_ping_is_explained_and_has_no_effect_on_the_endpoint(
    terminal: Terminal, database_url: str, status: int, header: str, message: str
) -> None:
    with Scripted(answer(status, header, body=b"no \x1b[31m thanks")) as receiver:
        result = terminal.run("endpoints", "test", receiver.url)
        assert result.exit_code == 1
        assert message in result.stdout
        assert "no \\x1b[31m thanks" in result.stdout
        assert row_of(database_url, f"http://127.0.0.1:{receiver.port}") is None


def test_a_ping_to_a_closed_port_is_explained(terminal: Terminal) -> None:
    with Receiver() as receiver:
        url = receiver.url
    result = terminal.run("endpoints", "test", url)
    assert result.exit_code == 1
    assert "nothing is listening on that host and port" in result.stdout


def test_a_ping_to_a_forbidden_address_is_not_sent(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted(answer()) as receiver:
        # With any private network allowed, host names pass the first check; their addresses are checked on connecting.
        monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "10.0.0.0/8")
        assert "PIPELINE_ALLOW_PRIVATE_CALLBACKS=127.0.0.1/32" in rejected(terminal, "test", receiver.url)
        result = terminal.run("endpoints", "test", f"http://localhost:{receiver.port}/")
        assert (result.exit_code, "ssrf_blocked" in result.stdout) == (1, True)
        assert "not an absolute URL" in rejected(terminal, "test", "example.com")
        assert receiver.connections == 0


def test_a_ping_without_a_usable_secret_is_not_sent(
    terminal: Terminal, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scripted(answer()) as receiver:
        terminal.run("endpoints", "rotate-secret", receiver.url)
        monkeypatch.setenv("PIPELINE_ENCRYPTION_KEY", new_encryption_key())
        assert "encrypted with a key that is not among those" in rejected(terminal, "test", receiver.url)
        monkeypatch.delenv("PIPELINE_WEBHOOK_SECRET")
        assert "create a secret with `pipeline secret`" in rejected(terminal, "test", receiver.url)
        assert receiver.connections == 0


def test_a_disabled_endpoint_is_pinged_and_stays_disabled(terminal: Terminal) -> None:
    with Receiver() as receiver:
        terminal.run("endpoints", "disable", receiver.url, "--reason", "it moves")
        result = terminal.run("endpoints", "test", receiver.url)
        assert (result.exit_code, len(receiver.bodies)) == (0, 1)
    assert "receives pings but no callbacks: it is disabled since" in result.stderr
    assert ": it moves; to send callbacks, run `pipeline endpoints enable" in result.stderr
    assert terminal.data("endpoints", "show", receiver.url)["state"] == "disabled"
