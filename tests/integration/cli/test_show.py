"""What `show` and its neighbours resolve: a key, an id, or a batch."""

from __future__ import annotations

import json

import pytest

from tests.support.terminal import Terminal

KEYS = ["last", "last-1", "T-17", "T-0017", "-1", "0", "null", "--help", "🙂", "x/y", "a\nb"]


@pytest.fixture
def batch(terminal: Terminal) -> str:
    """A batch whose keys look like other things."""
    terminal.write_definition()
    lines = [json.dumps({"id": key, "text": "an invoice"}) for key in KEYS]
    terminal.write("items.jsonl", "\n".join(lines) + "\n")
    return str(terminal.data("submit", "items.jsonl")["batch_id"])


def shown(terminal: Terminal, name: str, *options: str) -> str:
    """Return the id of the item that `show` shows."""
    result = terminal.run("show", *options, "--json", "--", name)
    assert result.exit_code == 0, result.stderr
    return str(json.loads(result.stdout)["item_id"])


def test_every_key_is_found_in_the_named_batch(terminal: Terminal, batch: str) -> None:
    for position, key in enumerate(KEYS, 1):
        assert shown(terminal, key, "--batch", "last") == f"{batch}-{position}"


def test_without_a_batch_a_key_of_the_last_one_is_found(terminal: Terminal, batch: str) -> None:
    for position, key in enumerate(KEYS[2:], 3):
        assert shown(terminal, key) == f"{batch}-{position}"


@pytest.mark.parametrize(("name", "other"), [("last", "the batch {0}"), ("last-1", "the item {0}-1")])
def test_a_key_that_names_something_else_as_well_is_refused(
    terminal: Terminal, batch: str, name: str, other: str
) -> None:
    result = terminal.run("show", name)
    assert result.exit_code == 2
    assert f"{name!r} is the key of the item {batch}-{KEYS.index(name) + 1}" in result.stderr
    assert other.format(batch) in result.stderr


def test_a_key_goes_before_a_short_prefix_but_not_before_one_that_is_meant(terminal: Terminal, batch: str) -> None:
    short, meant = batch[:2], batch[:8]
    keys = [short, f"{short}-1", meant, f"{meant}-1"]
    lines = [json.dumps({"id": key, "text": "an invoice"}) for key in keys]
    terminal.write("more.jsonl", "\n".join(lines) + "\n")
    newer = terminal.data("submit", "more.jsonl")["batch_id"]
    assert shown(terminal, short) == f"{newer}-1"
    assert shown(terminal, f"{short}-1") == f"{newer}-2"
    for name in (meant, f"{meant}-1"):
        result = terminal.run("show", name)
        assert result.exit_code == 2
        assert f"{newer}-{keys.index(name) + 1}" in result.stderr
        assert batch in result.stderr
    assert shown(terminal, f"{meant}-1", "--batch", "last") == f"{newer}-4"
    assert shown(terminal, f"{meant}-1", "--batch", batch) == f"{batch}-1"


def test_names_that_are_no_key_are_ids(terminal: Terminal, batch: str) -> None:
    assert shown(terminal, f"{batch}-2") == f"{batch}-2"
    assert shown(terminal, f"{batch[:6]}-2") == f"{batch}-2"
    assert shown(terminal, "last-2") == f"{batch}-2"
    assert terminal.data("show", batch)["batch_id"] == batch
    # A key takes precedence over the position that it looks like, if it is the same item.
    terminal.write("more.jsonl", '{"id": "last-1", "text": "an invoice"}\n')
    newer = terminal.data("submit", "more.jsonl")["batch_id"]
    assert shown(terminal, "last-1") == f"{newer}-1"


def test_dead_items_and_deliveries_are_found_alike(terminal: Terminal, batch: str) -> None:
    for words in (("dead", "show", "last-1"), ("deliveries", "list", "--item", "last-1")):
        result = terminal.run(*words)
        assert (result.exit_code, "is the key of the item" in result.stderr) == (2, True)
        assert "is the key of the item" not in terminal.run(*words, "--batch", "last").stderr
    # Only the batch of the command counts.
    assert "item 'last-1' is pending" in terminal.run("dead", "replay", "last", "--item", "last-1").stderr


@pytest.mark.parametrize("name", ["nothing", "0000-1", "last-99", "last-4294967297", "%", "_" * 9_000, "9" * 9_000])
def test_a_name_of_nothing_is_not_found(terminal: Terminal, batch: str, name: str) -> None:
    result = terminal.run("show", name)
    assert result.exit_code == 2
    assert len(result.stderr) < 300
