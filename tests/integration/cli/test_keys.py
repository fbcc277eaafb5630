"""`pipeline keys`: create, list, revoke and rotate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.domain.api_key import split_key
from tests.support.terminal import Terminal


@pytest.fixture
def terminal(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", f"sqlite:///{tmp_path / 'keys.db'}")
    return terminal


def test_a_key_is_created_listed_rotated_and_revoked(terminal: Terminal) -> None:
    words = (
        "shop",
        "--tenant",
        "acme",
        "--scope",
        "read,submit",
        "--scope",
        "operate",
        "--expires",
        "90d",
        "--rate",
        "5",
    )
    created = terminal.run("keys", "create", *words)
    assert created.exit_code == 0, created.output
    parts = split_key(created.stdout.strip())
    assert parts is not None, "the key is alone on standard output"
    (listed,) = json.loads(terminal.run("keys", "list", "--json").stdout)
    assert (listed["id"], listed["name"], listed["tenant"], listed["rate"]) == (parts.id, "shop", "acme", 5.0)
    assert (listed["scopes"], listed["state"]) == (["read", "submit", "operate"], "valid")
    assert listed["expires_at"] is not None
    table = terminal.run("keys", "list").stdout
    assert parts.id in table
    assert created.stdout.strip() not in table

    rotated = json.loads(terminal.run("keys", "rotate", parts.id, "--grace", "0", "--json").stdout)
    assert split_key(rotated["key"]) is not None
    assert json.loads(terminal.run("keys", "revoke", rotated["id"], "--json").stdout)["state"] == "revoked"
    states = [key["state"] for key in json.loads(terminal.run("keys", "list", "--json").stdout)]
    assert states == ["expired", "revoked"]
    refused = terminal.run("keys", "rotate", rotated["id"])
    assert (refused.exit_code, "was revoked" in refused.stderr) == (2, True)


def test_a_key_is_for_reading_and_submitting_unless_told_otherwise(terminal: Terminal) -> None:
    terminal.run("keys", "create", "shop")
    (listed,) = json.loads(terminal.run("keys", "list", "--json").stdout)
    assert (listed["scopes"], listed["tenant"], listed["expires_at"]) == (["read", "submit"], "default", None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "shop", "--scope", "read,operat"), "there is no scope 'operat'"),
        (("create", "shop", "--scope", "operat"), "did you mean 'operate'?"),
        (("create", "shop", "--tenant", "a b"), "tenant"),
        (("create", "shop", "--expires", "soon"), "is not a duration"),
        (("create", "shop", "--expires", "9999w"), "out of range"),
        (("create", "shop", "--rate", "0"), "--rate"),
        (("revoke", "0123456789"), "there is no database"),
    ],
)
def test_what_cannot_be_used_is_refused(terminal: Terminal, words: tuple[str, ...], told: str) -> None:
    refused = terminal.run("keys", *words)
    assert (refused.exit_code, told in refused.stderr) == (2, True), refused.output


def test_a_whole_key_is_not_taken_for_its_id(terminal: Terminal) -> None:
    key = terminal.run("keys", "create", "shop").stdout.strip()
    refused = terminal.run("keys", "revoke", key)
    assert refused.exit_code == 2
    assert "give its id, not the whole key" in refused.stderr
    assert key not in refused.stderr
