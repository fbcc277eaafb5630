"""Results on the command line: formats, columns and payloads."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from tests.support.terminal import Terminal, results_in


@pytest.mark.parametrize("words", ["-o out.txt", "-o out.json", "-o out.parquet.gz", "-o out --output-format docx"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(terminal: Terminal, words: str) -> None:
    terminal.write_definition()
    terminal.write_items(["an invoice"])
    result = terminal.run("run", "items.jsonl", *words.split())
    assert result.exit_code == 2
    assert words.endswith((".gz", "docx")) or "name one with --output-format" in result.stderr
    assert not Path("pipeline.db").exists()


def test_the_option_is_called_as_the_command_calls_it(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["an invoice"])))
    assert "name one with --format" in terminal.run("results", "last", "-o", "out.json").stderr
    assert "--columns: a result has no 'keyy'" in terminal.run("results", "last", "--columns", "keyy").stderr


@pytest.mark.parametrize("words", ["--flat", "--with-payload", "--columns key", "--output-format csv"])
def test_options_of_an_output_need_one(terminal: Terminal, words: str) -> None:
    terminal.write_definition()
    terminal.write_items(["an invoice"])
    assert "have no effect without -o" in terminal.run("run", "items.jsonl", *words.split()).stderr


def test_the_text_can_stand_beside_its_label(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items([f"{number} an invoice" for number in range(1, 31)]))
    columns = ("--columns", "key,label,payload.text")
    assert terminal.run("run", items, "-o", "run.csv.gz", *columns).exit_code == 0
    assert terminal.run("results", "last", "-o", "again.csv", *columns).exit_code == 0
    with gzip.open("run.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = sorted(csv.reader(file))
    assert rows[-1] == ["key", "label", "payload.text"] or ["key", "label", "payload.text"] in rows
    assert {(key, text) for key, label, text in rows if label == "billing"} == {
        (f"m-{number}", f"{number} an invoice") for number in range(1, 31)
    }
    assert sorted(csv.reader(Path("again.csv").read_text().splitlines())) == rows


def test_payloads_are_complete_and_flat_on_request(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("run", str(terminal.write_items(["an invoice"])), "-o", "out.jsonl", "--with-payload")
    (result,) = results_in(Path("out.jsonl"))
    assert result["payload"] == {"id": "m-1", "text": "an invoice"}
    flat = terminal.run("results", "last", "--flat", "--with-payload").stdout
    assert json.loads(flat)["payload.text"] == "an invoice"
