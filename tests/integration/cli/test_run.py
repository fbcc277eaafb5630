"""`pipeline run`: a file in, results out, and what the exit code says."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.support.receiver import SECRET, Receiver
from tests.support.terminal import Terminal, results_in


def test_each_item_of_the_file_gets_one_line_of_results(terminal: Terminal) -> None:
    definition = terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote", "your invoice"] * 20)
    result = terminal.run("run", str(items), "-p", str(definition), "-o", "out.jsonl")

    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    found = results_in(terminal.folder / "out.jsonl")
    assert sorted(each["key"] for each in found) == sorted(f"m-{number}" for number in range(1, 61))
    assert [each["seq"] for each in found] == list(range(1, 61))
    assert {each["label"] for each in found} == {"billing", "sales"}


def test_the_summary_counts_states_and_labels(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote", "your invoice"])
    result = terminal.run("run", str(items), "--json")

    summary = json.loads(result.stdout)
    assert (summary["total"], summary["succeeded"], summary["dead"]) == (3, 3, 0)
    assert summary["labels"] == {"billing": 2, "sales": 1}
    assert summary["state"] == "completed"
    assert 0 <= summary["latency"]["p50_seconds"] <= summary["latency"]["p95_seconds"]
    assert result.stderr == f"batch {summary['batch_id']}: 3 items\n", "programs read the summary, people do not"
    said = terminal.run("run", "--batch", "last").stderr
    assert "billing" in said
    assert "3 succeeded" in said


def test_a_quiet_run_says_nothing(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("run", str(terminal.write_items(["an invoice"])), "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_quiet_run_that_ends_with_one_says_why(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("run", str(terminal.write_items(["an invoice", "unknown"])), "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("1 dead: `pipeline dead list")
    assert len(result.stderr.splitlines()) == 1
    result = terminal.run("watch", "last", "--quiet")
    assert result.exit_code == 1
    assert "1 dead" in result.stderr


def test_results_on_standard_output_stand_alone_there(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote"])
    result = terminal.run("run", str(items), "-o", "-", "--json")
    assert {json.loads(line)["label"] for line in result.stdout.splitlines()} == {"billing", "sales"}


def test_standard_input_is_read_in_the_format_it_has(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("run", "-", "-o", "out.jsonl", input='id,text\nc-1,an invoice\nc-2,"a quote, please"\n')
    assert result.exit_code == 0, result.stderr
    assert {each["key"]: each["label"] for each in results_in(terminal.folder / "out.jsonl")} == {
        "c-1": "billing",
        "c-2": "sales",
    }


def test_encoding_and_format_are_taken_at_their_word(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write("items.txt", gzip.compress("id,text\nö-1,an invoice\n".encode("cp1252")))
    result = terminal.run("run", str(items), "--format", "csv", "--encoding", "cp1252", "-o", "out.jsonl")
    assert result.exit_code == 0, result.stderr
    assert results_in(terminal.folder / "out.jsonl")[0]["key"] == "ö-1"


def test_the_suffix_says_how_results_are_written(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["an invoice", "a quote"]))
    assert terminal.run("run", items, "-o", "run.csv").exit_code == 0
    assert terminal.run("results", "last", "-o", "results.CSV").exit_code == 0
    assert terminal.run("results", "last", "--format", "CSV", "-o", "named.txt").exit_code == 0
    for name in ("run.csv", "results.CSV", "named.txt"):
        header, *rows = (terminal.folder / name).read_text().splitlines()
        assert header.startswith("batch_id,item_id,key")
        assert len(rows) == 2
    assert terminal.run("results", "last", "--format", "JSONL", "-o", "lines.csv").exit_code == 0
    assert len(results_in(terminal.folder / "lines.csv")) == 2
    result = terminal.run("results", "last", "--format", "xlsx")
    assert result.exit_code == 2
    assert "'xlsx'" in result.stderr


def test_dead_items_make_the_exit_code_one_and_are_explained(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "no word that a rule knows"])
    result = terminal.run("run", str(items), "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "pipeline dead list" in result.stderr
    assert {each["state"] for each in results_in(terminal.folder / "out.jsonl")} == {"succeeded", "dead"}


def test_a_known_idempotency_key_goes_on_with_its_batch(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote"])
    command = ("run", str(items), "--idempotency-key", "monday", "--json")
    first, second = terminal.run(*command), terminal.run(*command, "-o", "out.jsonl")

    assert second.exit_code == 0
    assert json.loads(first.stdout)["batch_id"] == json.loads(second.stdout)["batch_id"]
    assert "'monday' is known" in second.stderr
    assert len(results_in(terminal.folder / "out.jsonl")) == 2
    assert len(terminal.data("status")) == 1


def test_a_known_idempotency_key_with_another_definition_or_callback_is_a_conflict(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    terminal.write_definition()
    terminal.write("other.toml", terminal.write_definition().read_text().replace("quote", "offer"))
    words = ("submit", str(terminal.write_items(["an invoice"])), "--idempotency-key", "monday")
    batch = terminal.run(*words, "-p", "mail.toml").stdout.strip()
    url = "https://example.com/hook"
    for more, named in [
        (("-p", "other.toml"), "different definition;"),
        (("-p", "mail.toml", "--callback-url", url), "different callback_url;"),
        (("-p", "other.toml", "--batch-callback-url", url), "different definition and batch_callback_url;"),
    ]:
        result = terminal.run(*words, *more)
        assert result.exit_code == 2
        assert named in result.stderr
        assert f"pipeline run --batch {batch}" in result.stderr
    # The same definition at another place is the same.
    (terminal.folder / "elsewhere").mkdir()
    terminal.write("elsewhere/mail.toml", (terminal.folder / "mail.toml").read_text())
    assert terminal.run(*words, "-p", "elsewhere/mail.toml").stdout.strip() == batch


def test_a_submitted_batch_is_finished_with_all_of_its_results(terminal: Terminal) -> None:
    terminal.write_definition()
    batch = terminal.run("submit", str(terminal.write_items(["an invoice"] * 30))).stdout.strip()
    assert terminal.data("status", batch)["waiting"] == 30

    result = terminal.run("run", "--batch", batch[:5], "-o", "out.jsonl")
    assert result.exit_code == 0, result.stderr
    assert len(results_in(terminal.folder / "out.jsonl")) == 30


def test_a_finished_batch_gives_its_results_again(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("run", str(terminal.write_items(["an invoice", "a quote"])), "-o", "first.jsonl")
    result = terminal.run("run", "--batch", "last", "-o", "second.jsonl")
    assert result.exit_code == 0
    assert (terminal.folder / "second.jsonl").read_bytes() == (terminal.folder / "first.jsonl").read_bytes()


def test_a_run_works_on_its_own_batch_only(terminal: Terminal) -> None:
    terminal.write_definition()
    stored = terminal.run("submit", str(terminal.write_items(["an invoice"] * 3))).stdout.strip()
    terminal.run("run", str(terminal.write_items(["a quote"], "more.jsonl")))
    assert terminal.data("status", stored)["waiting"] == 3


def test_callbacks_are_waited_for_and_counted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")
    terminal.write_definition()
    items = terminal.write_items(["an invoice"] * 10)
    with Receiver() as receiver:
        urls = ("--callback-url", receiver.url, "--batch-callback-url", receiver.url)
        result = terminal.run("run", str(items), *urls, "--json")
        assert len(receiver.events()) == 11
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["callbacks"] == {"delivered": 11}


def test_callbacks_that_are_still_owed_make_the_exit_code_one(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote"])
    with Receiver() as receiver:
        url = receiver.url
    # Nobody listens there any more.
    result = terminal.run("run", str(items), "--callback-url", url, "--callback-wait", "0.5")
    assert result.exit_code == 1
    assert "2 callbacks still owed" in result.stderr
    assert "pipeline run --batch" in result.stderr
    assert "the last attempt: " in result.stderr
    assert "pipeline deliveries list --batch" in result.stderr

    result = terminal.run("run", "--batch", "last", "--callback-wait", "0", "--quiet")
    assert result.exit_code == 1
    assert "2 callbacks still owed" in result.stderr


def test_input_and_batch_exclude_each_other(terminal: Terminal) -> None:
    for words in [("run",), ("run", "items.jsonl", "--batch", "last")]:
        result = terminal.run(*words)
        assert result.exit_code == 2
        assert "--batch" in result.stderr


def test_options_about_input_are_refused_with_a_batch(terminal: Terminal) -> None:
    result = terminal.run("run", "--batch", "last", "--callback-url", "https://example.com/")
    assert result.exit_code == 2
    assert "--callback-url" in result.stderr


def test_a_paused_batch_is_not_begun(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["an invoice"])))
    terminal.run("pause", "last")
    result = terminal.run("run", "--batch", "last")
    assert result.exit_code == 2
    assert "pipeline resume" in result.stderr


def test_nothing_begins_where_results_cannot_be_written(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("run", str(terminal.write_items(["an invoice"])), "-o", "missing/out.jsonl")
    assert result.exit_code == 2
    assert "no folder missing" in result.stderr
    assert list(terminal.folder.glob("pipeline.db")) == []
