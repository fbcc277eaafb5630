"""`pipeline dead`: list, show and replay dead items."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

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
    assert [item["key"] for item in listed] == ["m-3", "m-2"]
    assert {item["message"] for item in listed} == {"told to fail"}
    assert failed.data("dead", "list") == listed
    assert "told to fail" in failed.run("dead", "list").stdout


def test_a_truncated_list_says_so(failed: Terminal) -> None:
    result = failed.run("dead", "list", "--limit", "1")
    assert "m-3" in result.stdout
    assert "m-2" not in result.stdout
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


@pytest.fixture
def cancelled(terminal: Terminal) -> Terminal:
    """A terminal with a cancelled batch of four items, none of which has run."""
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["an invoice", "a quote", "nothing", "an invoice"])))
    assert terminal.run("cancel", "last", "--yes").exit_code == 0
    return terminal


def results(terminal: Terminal, *words: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in terminal.run("results", "last", *words).stdout.splitlines()]


def test_the_rest_of_a_cancelled_batch_is_listed_and_runs_again(cancelled: Terminal) -> None:
    assert [each["key"] for each in results(cancelled, "--state", "cancelled")] == ["m-1", "m-2", "m-3", "m-4"]
    assert results(cancelled, "--state", "succeeded") == []
    result = cancelled.run("dead", "replay", "last", "--state", "cancelled", "--yes")
    assert "4 cancelled items" in result.stderr
    assert cancelled.run("run", "--batch", "last").exit_code == 1
    status = cancelled.data("status", "last")
    assert (status["state"], status["succeeded"], status["dead"], status["cancelled"]) == ("completed", 3, 1, 0)
    assert [each["key"] for each in results(cancelled, "--state", "succeeded")] == ["m-1", "m-2", "m-4"]


def test_single_cancelled_items_run_again_and_the_others_stay_cancelled(cancelled: Terminal) -> None:
    words = ("dead", "replay", "last", "--state", "cancelled", "--item", "m-2", "--yes")
    assert cancelled.data(*words)["replayed"] == 1
    assert cancelled.run("run", "--batch", "last").exit_code == 1
    status = cancelled.data("status", "last")
    assert (status["state"], status["succeeded"], status["cancelled"]) == ("completed", 1, 3)


def test_dead_items_of_a_cancelled_batch_are_replayed_as_well(failed: Terminal) -> None:
    with closing(sqlite3.connect("pipeline.db")) as file:
        # As if it had been cancelled while its last items ran.
        file.execute("UPDATE batches SET state = 'cancelled'")
        file.commit()
    failed.write("repaired", "")
    assert failed.data("dead", "replay", "last", "--yes")["replayed"] == 2
    assert failed.run("run", "--batch", "last").exit_code == 0


def test_a_batch_whose_items_still_run_is_not_replayed(cancelled: Terminal) -> None:
    with closing(sqlite3.connect("pipeline.db")) as file:
        file.execute("UPDATE batches SET completed_at = NULL")
        file.commit()
    result = cancelled.run("dead", "replay", "last", "--state", "cancelled", "--yes")
    assert result.exit_code == 2
    assert "is being cancelled" in result.stderr


def test_the_state_of_an_item_that_cannot_be_replayed_so_is_named(cancelled: Terminal) -> None:
    result = cancelled.run("dead", "replay", "last", "--item", "m-1", "--yes")
    assert result.exit_code == 2
    assert "'m-1' is cancelled, not dead; pass --state cancelled" in result.stderr


def test_dead_items_of_all_batches_are_grouped_by_cause(failed: Terminal) -> None:
    failed.run("run", str(failed.write_items(["fail"], "more.jsonl")), "-p", "obedient.toml")
    (cause,) = failed.data("dead", "summary")
    assert (cause["count"], cause["definition"], cause["stage"], cause["type"]) == (
        3,
        "obedient",
        "classify",
        "Permanent",
    )
    assert cause["first_at"] <= cause["last_at"]
    assert failed.data("dead", "summary", "last")[0]["count"] == 1
    assert failed.data("dead", "summary", "--stage", "enrich") == []
    assert cause["cause"] in failed.run("dead", "summary").stdout
    assert failed.run("dead", "summary", "--since", "2030-01-01T00:00").stderr == "no dead items\n"


def test_a_cause_is_replayed_in_all_batches_once_after_a_dry_run(failed: Terminal) -> None:
    failed.run("run", str(failed.write_items(["fail"], "more.jsonl")), "-p", "obedient.toml")
    (cause,) = failed.data("dead", "summary")
    words = ("dead", "replay", "--cause", cause["cause"], "--stage", "classify", "--since", "1h", "--yes")
    would = failed.data(*words, "--dry-run")
    assert [(each["matched"], each["replayed"]) for each in would["batches"]] == [(1, 0), (2, 0)]
    assert [each["replayed"] for each in failed.data(*words)["batches"]] == [1, 2]
    assert failed.data(*words)["batches"] == []
    assert "no dead item matches" in failed.run(*words).stderr
    assert failed.data("dead", "replay", "--cause", "000000000000", "--yes")["batches"] == []


def test_a_replay_names_a_batch_or_what_to_choose_by(failed: Terminal) -> None:
    nothing = failed.run("dead", "replay", "--yes")
    assert (nothing.exit_code, "--cause" in nothing.stderr) == (2, True)
    both = failed.run("dead", "replay", "last", "--item", "m-2", "--stage", "classify", "--yes")
    assert (both.exit_code, "choose among all dead items" in both.stderr) == (2, True)
