"""`pipeline dead`: list, show and replay dead items."""

from __future__ import annotations

import pytest

from tests.support.terminal import Terminal


@pytest.fixture
def failed(terminal: Terminal) -> Terminal:
    """A terminal with one batch: m-1 succeeded; m-2 and m-3 are dead until the file `repaired` exists."""
    terminal.write("obedient.toml", terminal.write_obedient_definition().read_text() + '[input]\nkey = "id"\n')
    assert terminal.run("run", str(terminal.write_items(["go on", "fail", "fail"]))).exit_code == 1
    return terminal


def test_dead_items_are_listed_with_their_errors(failed: Terminal) -> None:
    listed = failed.data("dead", "list", "last")
    assert [item["key"] for item in listed] == ["m-2", "m-3"]
    assert {item["message"] for item in listed} == {"told to fail"}
    assert failed.data("dead", "list") == listed
    assert "told to fail" in failed.run("dead", "list").stdout


def test_a_truncated_list_says_so(failed: Terminal) -> None:
    result = failed.run("dead", "list", "--limit", "1")
    assert "m-2" in result.stdout
    assert "m-3" not in result.stdout
    assert "there are more" in result.stderr


def test_a_dead_item_is_shown_with_its_attempts(failed: Terminal) -> None:
    assert failed.data("dead", "show", "m-2")["failed_attempts"][0]["error_message"] == "told to fail"
    result = failed.run("dead", "show", "m-1")
    assert result.exit_code == 2
    assert "succeeded, not dead" in result.stderr


def test_replayed_items_are_processed_by_the_next_run(failed: Terminal) -> None:
    failed.write("repaired", "")
    result = failed.run("dead", "replay", "last", "--yes")
    assert result.exit_code == 0, result.stderr
    assert "2 dead items" in result.stderr
    assert "pipeline run --batch" in result.stderr
    assert failed.data("status", "last")["waiting"] == 2

    assert failed.run("run", "--batch", "last").exit_code == 0
    assert failed.data("status", "last")["succeeded"] == 3
    assert failed.data("dead", "list") == []
    empty = failed.run("dead", "list")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "no dead items\n")


def test_only_the_named_items_are_replayed(failed: Terminal) -> None:
    assert failed.data("dead", "replay", "last", "--item", "m-3", "--yes")["replayed"] == 1
    assert [item["key"] for item in failed.data("dead", "list")] == ["m-2"]


def test_an_item_that_is_not_dead_cannot_be_replayed(failed: Terminal) -> None:
    result = failed.run("dead", "replay", "last", "--item", "m-1")
    assert result.exit_code == 2
    assert "succeeded" in result.stderr
