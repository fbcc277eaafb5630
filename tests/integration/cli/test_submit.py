"""`pipeline submit`: stores a batch and prints only its id to standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.terminal import Terminal


def test_only_the_batch_id_is_printed(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("submit", str(terminal.write_items(["an invoice"])))
    assert result.exit_code == 0
    assert result.stdout == terminal.data("status", "last")["batch_id"] + "\n"
    assert "pipeline run --batch" in result.stderr


def test_json_reports_accepted_and_rejected_items(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write(
        "items.jsonl", '{"id": "a", "text": "x"}\n{"id": 3.5, "text": "x"}\n{"id": "b", "text": "x"}\n'
    )
    first = terminal.data("submit", str(items), "--on-error", "skip", "--idempotency-key", "k")
    again = terminal.data("submit", str(items), "--on-error", "skip", "--idempotency-key", "k")
    assert first == {"batch_id": first["batch_id"], "total": 2, "is_new": True, "rejected": 1, "blank_rows": 0}
    assert again == {"batch_id": first["batch_id"], "total": 2, "is_new": False, "rejected": 1, "blank_rows": 0}


def test_nothing_runs_without_a_worker(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["an invoice"] * 5)))
    status = terminal.data("status", "last")
    assert (status["state"], status["waiting"], status["in_flight"]) == ("running", 5, 0)


def test_a_watched_submission_is_processed_in_this_process(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("submit", str(terminal.write_items(["an invoice"] * 5)), "--watch")
    assert result.exit_code == 0, result.stderr
    assert terminal.data("status", result.stdout.strip())["succeeded"] == 5


def test_keys_are_read_from_the_given_field(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write("items.jsonl", '{"id": "a", "mail": "x-1", "text": "an invoice"}\n')
    terminal.run("submit", str(items), "--key", "mail")
    assert terminal.data("show", "x-1")["key"] == "x-1"


def test_skipped_items_are_written_to_the_rejects_file(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write("items.jsonl", '{"id": "a", "text": "x"}\nnot json\n{"id": "c"}\n')
    result = terminal.run("submit", str(items), "--on-error", "skip", "--rejects", "rejected.jsonl")
    assert result.exit_code == 0, result.stderr
    rejections = [json.loads(line) for line in Path("rejected.jsonl").read_text().splitlines()]
    assert [rejection["line"] for rejection in rejections] == [2, 3]
    assert "2 items skipped" in result.stderr
    assert terminal.data("status", "last")["total"] == 1


def test_weight_and_fair_key_are_accepted(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("submit", str(terminal.write_items(["x"])), "--weight", "0")
    assert result.exit_code == 2
    result = terminal.run("submit", str(terminal.write_items(["x"])), "--weight", "3", "--fair-key", "team-a")
    assert result.exit_code == 0


def test_a_stored_definition_is_found_by_its_name(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    path, items = terminal.write_definition(), str(terminal.write_items(["an invoice"]))
    monkeypatch.setenv("PIPELINE_DEFINITIONS", str(path.parent))
    refused = terminal.run("definitions", "store", str(path))
    assert (refused.exit_code, "comes first" in refused.stderr) == (2, True)
    monkeypatch.delenv("PIPELINE_DEFINITIONS")
    name = terminal.data("definitions", "store", str(path))["name"]
    path.unlink()
    assert terminal.data("submit", items, "-p", name)["total"] == 1
    missing = terminal.run("submit", items, "-p", "no-such")
    assert (missing.exit_code, "no-such" in missing.stderr) == (2, True)
