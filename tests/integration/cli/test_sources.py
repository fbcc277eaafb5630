"""Sources and their options, from the command line to the database."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tests.support.terminal import Terminal


def payloads(terminal: Terminal) -> list[dict[str, object]]:
    result = terminal.run("results", "last", "--with-payload")
    return [json.loads(line)["payload"] for line in result.stdout.splitlines()]


def test_a_glob_of_awkward_tables_is_one_batch_with_a_mapping(terminal: Terminal) -> None:
    Path("in").mkdir()
    Path("in/a.csv").write_text("Export of 2026\n\nKey,Description,Amount,x\nA-1,an invoice,1.50,y\n")
    Path("in/b.csv.gz").write_bytes(
        gzip.compress(b"Export\n\nAmount,Key,Description,x\n2,B-1,an invoice,y\nmany,B-2,x,y\n2,A-1,again,y\n")
    )
    path = terminal.write_definition()
    path.write_text(path.read_text().replace("[input]", '[input]\ntypes = { amount = "number" }'))
    mapping = ("--map", "text=Description", "--map", "id=Key", "--map", "amount=Amount", "--field", "text,amount")
    options = (*mapping, "--header-row", "3", "--on-error", "skip", "--rejects", "bad.jsonl")
    result = terminal.run("run", "in/*.csv*", *options)
    assert result.exit_code == 0, result.stderr
    assert "skipped in/b.csv.gz, line 5: field 'amount' is 'many', where [input.types] has a number" in result.stderr
    assert "in/b.csv.gz, line 6: its key 'A-1' is also the key of item 1 in in/a.csv" in result.stderr
    rejected = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert [(each["file"], each["line"]) for each in rejected] == [("in/b.csv.gz", 5), ("in/b.csv.gz", 6)]
    assert payloads(terminal) == [{"text": "an invoice", "amount": 1.5}, {"text": "an invoice", "amount": 2}]


def test_several_files_may_be_given_by_name(terminal: Terminal) -> None:
    terminal.write_definition()
    for name in "ab":
        Path(f"{name}.jsonl").write_text(f'{{"id": "{name}", "text": "x"}}\n')
    assert terminal.data("submit", "a.jsonl", "b.jsonl")["total"] == 2
    result = terminal.run("submit", "a.jsonl", "a.jsonl")
    assert (result.exit_code, "a.jsonl is given twice" in result.stderr) == (2, True)


def test_an_output_may_not_be_one_of_the_files_of_a_folder(terminal: Terminal) -> None:
    terminal.write_definition()
    Path("in").mkdir()
    Path("in/a.jsonl").write_text('{"id": "a", "text": "x"}\n')
    result = terminal.run("run", "in/", "-o", "in/a.jsonl")
    assert result.exit_code == 2
    assert "-o in/a.jsonl is the same file as INPUT in/a.jsonl" in result.stderr


def test_files_of_labelled_data_are_read_together(terminal: Terminal) -> None:
    terminal.write_definition()
    for name in "ab":
        Path(f"{name}.csv").write_text("text,label\nan invoice,billing\n")
    found = terminal.data("evaluate", "*.csv")
    assert found["n"] == 2
