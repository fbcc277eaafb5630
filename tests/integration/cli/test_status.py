"""Commands that show and control batches."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.batches.streamed.resume import SourceItems
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.settings import load
from tests.support.factories import make_definition
from tests.support.number_source import NumberSource
from tests.support.terminal import Terminal


@pytest.fixture
def finished(terminal: Terminal) -> Terminal:
    """A terminal with one batch, of which two items succeeded and one is dead."""
    terminal.write_definition()
    terminal.run("run", str(terminal.write_items(["an invoice", "a quote", "nothing"])))
    return terminal


def test_status_lists_batches_newest_first(finished: Terminal) -> None:
    second = finished.run("submit", str(finished.write_items(["a quote"], "more.jsonl"))).stdout.strip()
    listed = finished.data("status")
    assert [batch["total"] for batch in listed] == [1, 3]
    assert listed[0]["batch_id"] == second
    assert len(finished.data("status", "--limit", "1")) == 1
    table = finished.run("status").stdout
    assert second in table
    assert "mail" in table


def test_status_shows_one_batch_in_detail(finished: Terminal) -> None:
    status = finished.data("status", "last")
    assert (status["succeeded"], status["dead"], status["waiting"]) == (2, 1, 0)
    assert status["labels"] == {"billing": 1, "sales": 1}
    assert status["completed_at"] > status["created_at"]
    assert "billing" in finished.run("status", "last").stdout


def test_watch_ends_when_the_batch_is_complete(finished: Terminal) -> None:
    result = finished.run("watch", "last", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["dead"] == 1


def test_results_can_be_read_from_any_seq(finished: Terminal) -> None:
    everything = finished.run("results", "last").stdout.splitlines()
    assert len(everything) == 3
    assert finished.run("results", "last", "--after", "2").stdout.splitlines() == everything[2:]


def test_following_results_ends_with_the_batch(finished: Terminal) -> None:
    assert len(finished.run("results", "last", "--follow").stdout.splitlines()) == 3


def test_results_are_written_as_csv(finished: Terminal) -> None:
    assert finished.run("results", "last", "--format", "csv", "-o", "out.csv").exit_code == 0
    with Path("out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["key"]: row["label"] for row in rows} == {"m-1": "billing", "m-2": "sales", "m-3": ""}


def test_an_item_is_found_by_item_id_task_id_or_key(finished: Terminal) -> None:
    by_key = finished.data("show", "m-2")
    assert by_key["label"] == "sales"
    assert finished.data("show", by_key["item_id"]) == by_key
    assert finished.data("show", f"{by_key['item_id']}-classify-1") == by_key


def test_a_payload_is_shown_only_on_request(finished: Terminal) -> None:
    assert "an invoice" not in finished.run("show", "m-1").stdout
    assert finished.data("show", "m-1", "--payload")["payload"] == {"id": "m-1", "text": "an invoice"}


def test_show_lists_the_failed_attempts_of_an_item(finished: Terminal) -> None:
    shown = finished.data("show", "m-3")
    assert shown["error"]["kind"] == "permanent"
    assert [attempt["outcome"] for attempt in shown["failed_attempts"]] == ["dead"]
    assert "failed attempts" in finished.run("show", "m-3").stdout


def test_show_accepts_a_batch(finished: Terminal) -> None:
    assert finished.data("show", "last")["total"] == 3
    assert finished.data("show", finished.data("status")[0]["batch_id"])["total"] == 3


def test_control_characters_are_escaped(terminal: Terminal) -> None:
    definition = terminal.write_definition().read_text().replace('"billing"', r'"a\u001b[31m[b]"')
    terminal.write("mail.toml", definition)
    terminal.run("run", str(terminal.write_items(["an invoice"])))
    shown = terminal.run("status", "last").stdout
    assert "\x1b" not in shown
    assert "a\\x1b[31m[b]" in shown


def test_a_batch_is_paused_and_resumed(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["an invoice"])))
    assert terminal.run("pause", "last").exit_code == 0
    assert terminal.data("status", "last")["state"] == "paused"
    assert terminal.run("resume", "last").exit_code == 0
    assert terminal.data("status", "last")["state"] == "running"


def test_cancelling_a_batch_cancels_its_waiting_items(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["an invoice"] * 4)))
    result = terminal.run("cancel", "last", "--yes")
    assert result.exit_code == 0
    assert "4 items" in result.stderr
    assert terminal.data("status", "last")["cancelled"] == 4
    assert terminal.run("run", "--batch", "last").exit_code == 1
    assert terminal.run("resume", "last").exit_code == 2


def test_status_says_which_submissions_can_go_on(terminal: Terminal) -> None:
    context = make_context(load(database_url=f"sqlite:///{terminal.folder / 'pipeline.db'}"))
    submission = Submission(make_definition(terminal.folder), idempotency_key="k")
    with pytest.raises(ZeroDivisionError):
        submit(context, SourceItems(NumberSource(6_000, before=lambda number: 1 / (number - 5_500))), submission)
    context.database.close()
    (listed,) = terminal.data("status")
    said = f"batch {listed['batch_id']}: interrupted at 5,000 items of numbers; the same command again goes on"
    for command in (["status"], ["status", "last"]):
        assert said in terminal.run(*command).stderr
    found = terminal.data("status", "last")["submission"]
    assert (found["stored"], found["source"], found["is_running"]) == (5_000, "numbers", False)


def test_an_audit_proves_a_batch_or_names_what_is_wrong(finished: Terminal) -> None:
    proved = finished.run("audit", "last")
    assert (proved.exit_code, proved.stderr) == (0, "nothing was lost, and nothing counted twice\n")
    audited = finished.data("audit", "last", "--since", "2h")
    assert (audited["items"], audited["events"], audited["violations"]) == ({"succeeded": 2, "dead": 1}, 4, [])
    with closing(sqlite3.connect("pipeline.db")) as file, file:
        file.execute("DELETE FROM events WHERE seq = 2")
    damaged = finished.run("audit", "last", "--json")
    assert damaged.exit_code == 1
    assert [each["code"] for each in json.loads(damaged.stdout)["violations"]] == ["end_unreported", "log_has_gaps"]


def test_status_shows_who_intervened(terminal: Terminal) -> None:
    terminal.write_definition()
    batch = terminal.run("submit", str(terminal.write_items(["an invoice"]))).stdout.strip()
    terminal.run("pause", batch)
    terminal.run("resume", batch)
    (resumed, paused) = terminal.data("status", batch)["history"]
    assert (paused["action"], resumed["action"]) == ("pause", "resume")
    shown = terminal.run("status", batch).stdout
    assert "history" in shown
    assert paused["actor"] in shown
