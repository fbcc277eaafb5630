"""`pipeline run`: input, results, summary and exit code."""

from __future__ import annotations

import gzip
import json

import pytest
from sqlalchemy import Engine, event

from tests.support.receiver import SECRET, Receiver
from tests.support.terminal import Terminal, results_in


def test_each_item_has_one_line_in_the_results(terminal: Terminal) -> None:
    definition = terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote", "your invoice"] * 20)
    done = terminal.run("run", str(items), "-p", str(definition), "-o", "out.jsonl")

    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    results = results_in(terminal.folder / "out.jsonl")
    assert sorted(result["key"] for result in results) == sorted(f"m-{number}" for number in range(1, 61))
    assert [result["seq"] for result in results] == list(range(1, 61))
    assert {result["label"] for result in results} == {"billing", "sales"}


def test_the_summary_counts_states_and_labels(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote", "your invoice"])
    result = terminal.run("run", str(items), "--json")

    summary = json.loads(result.stdout)
    assert (summary["total"], summary["succeeded"], summary["dead"]) == (3, 3, 0)
    assert summary["labels"] == {"billing": 2, "sales": 1}
    assert summary["state"] == "completed"
    assert 0 <= summary["latency"]["p50_seconds"] <= summary["latency"]["p95_seconds"]
    assert result.stderr == f"batch {summary['batch_id']}: 3 items\n", "with --json, the summary is not text"
    stderr = terminal.run("run", "--batch", "last").stderr
    assert "billing" in stderr
    assert "3 succeeded" in stderr


def test_a_quiet_run_prints_nothing(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("run", str(terminal.write_items(["an invoice"])), "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(("options", "is_read"), [(["-q"], False), (["-q", "-o", "out.jsonl"], True), ([], True)])
def test_results_are_read_only_if_they_are_written_or_counted(
    terminal: Terminal, options: list[str], is_read: bool
) -> None:
    terminal.write_definition()
    statements = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert terminal.run("run", str(terminal.write_items(["an invoice"] * 3)), *options).exit_code == 0
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert statements
    assert any(each.startswith("SELECT events.seq, events.type") for each in statements) is is_read


def test_a_quiet_run_writes_every_result(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "unknown"] * 20)
    assert terminal.run("run", str(items), "-q", "-o", "out.jsonl").exit_code == 1
    results = results_in(terminal.folder / "out.jsonl")
    assert [result["seq"] for result in results] == list(range(1, 41))


def test_a_quiet_run_with_dead_items_prints_a_hint(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("run", str(terminal.write_items(["an invoice", "unknown"])), "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("1 dead item: `pipeline dead list")
    assert len(result.stderr.splitlines()) == 1
    result = terminal.run("watch", "last", "--quiet")
    assert result.exit_code == 1
    assert "1 dead" in result.stderr


def test_results_on_standard_output_are_not_mixed_with_a_summary(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote"])
    result = terminal.run("run", str(items), "-o", "-", "--json")
    assert {json.loads(line)["label"] for line in result.stdout.splitlines()} == {"billing", "sales"}


def test_the_format_of_standard_input_is_detected(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("run", "-", "-o", "out.jsonl", input='id,text\nc-1,an invoice\nc-2,"a quote, please"\n')
    assert result.exit_code == 0, result.stderr
    assert {result["key"]: result["label"] for result in results_in(terminal.folder / "out.jsonl")} == {
        "c-1": "billing",
        "c-2": "sales",
    }


def test_explicit_encoding_and_format_are_used(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write("items.txt", gzip.compress("id,text\nö-1,an invoice\n".encode("cp1252")))
    result = terminal.run("run", str(items), "--format", "csv", "--encoding", "cp1252", "-o", "out.jsonl")
    assert result.exit_code == 0, result.stderr
    assert results_in(terminal.folder / "out.jsonl")[0]["key"] == "ö-1"


def test_the_output_format_follows_the_suffix(terminal: Terminal) -> None:
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
    result = terminal.run("results", "last", "--format", "docx")
    assert result.exit_code == 2
    assert "'docx'" in result.stderr


def test_dead_items_cause_exit_code_1_and_a_hint(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "no word that a rule knows"])
    result = terminal.run("run", str(items), "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "pipeline dead list" in result.stderr
    assert {result["state"] for result in results_in(terminal.folder / "out.jsonl")} == {"succeeded", "dead"}


def test_a_known_idempotency_key_continues_its_batch(terminal: Terminal) -> None:
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote"])
    command = ("run", str(items), "--idempotency-key", "monday", "--json")
    first, second = terminal.run(*command), terminal.run(*command, "-o", "out.jsonl")

    assert second.exit_code == 0
    assert json.loads(first.stdout)["batch_id"] == json.loads(second.stdout)["batch_id"]
    assert "idempotency key 'monday' was used before: continuing batch" in second.stderr
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
    # The same definition at another path is no conflict.
    (terminal.folder / "elsewhere").mkdir()
    terminal.write("elsewhere/mail.toml", (terminal.folder / "mail.toml").read_text())
    assert terminal.run(*words, "-p", "elsewhere/mail.toml").stdout.strip() == batch


def test_a_submitted_batch_is_finished_with_all_its_results(terminal: Terminal) -> None:
    terminal.write_definition()
    batch = terminal.run("submit", str(terminal.write_items(["an invoice"] * 30))).stdout.strip()
    assert terminal.data("status", batch)["waiting"] == 30

    result = terminal.run("run", "--batch", batch[:5], "-o", "out.jsonl")
    assert result.exit_code == 0, result.stderr
    assert len(results_in(terminal.folder / "out.jsonl")) == 30


def test_the_results_of_a_finished_batch_can_be_written_again(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("run", str(terminal.write_items(["an invoice", "a quote"])), "-o", "first.jsonl")
    result = terminal.run("run", "--batch", "last", "-o", "second.jsonl")
    assert result.exit_code == 0
    assert (terminal.folder / "second.jsonl").read_bytes() == (terminal.folder / "first.jsonl").read_bytes()


def test_a_run_processes_only_its_own_batch(terminal: Terminal) -> None:
    terminal.write_definition()
    stored = terminal.run("submit", str(terminal.write_items(["an invoice"] * 3))).stdout.strip()
    terminal.run("run", str(terminal.write_items(["a quote"], "more.jsonl")))
    assert terminal.data("status", stored)["waiting"] == 3


def test_a_run_waits_for_callbacks_and_counts_them(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_undelivered_callbacks_cause_exit_code_1(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")
    terminal.write_definition()
    items = terminal.write_items(["an invoice", "a quote"])
    with Receiver() as receiver:
        url = receiver.url
    # Nothing listens there any more.
    result = terminal.run("run", str(items), "--callback-url", url, "--callback-wait", "0.5")
    assert result.exit_code == 1
    assert "2 callbacks not delivered yet" in result.stderr
    assert "pipeline run --batch" in result.stderr
    assert "last attempt: " in result.stderr
    assert "pipeline deliveries list --batch" in result.stderr

    result = terminal.run("run", "--batch", "last", "--callback-wait", "0", "--quiet")
    assert result.exit_code == 1
    assert "2 callbacks not delivered yet" in result.stderr


def test_input_and_batch_are_mutually_exclusive(terminal: Terminal) -> None:
    for words in [("run",), ("run", "items.jsonl", "--batch", "last")]:
        result = terminal.run(*words)
        assert result.exit_code == 2
        assert "--batch" in result.stderr


def test_options_of_the_submission_are_rejected_with_a_batch(terminal: Terminal) -> None:
    result = terminal.run("run", "--batch", "last", "--callback-url", "https://example.com/")
    assert result.exit_code == 2
    assert "--callback-url cannot be combined with --batch" in result.stderr


def test_a_paused_batch_is_not_started(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["an invoice"])))
    terminal.run("pause", "last")
    result = terminal.run("run", "--batch", "last")
    assert result.exit_code == 2
    assert "pipeline resume" in result.stderr


def test_nothing_is_stored_if_results_cannot_be_written(terminal: Terminal) -> None:
    terminal.write_definition()
    result = terminal.run("run", str(terminal.write_items(["an invoice"])), "-o", "missing/out.jsonl")
    assert result.exit_code == 2
    assert "no folder missing" in result.stderr
    assert list(terminal.folder.glob("pipeline.db")) == []
