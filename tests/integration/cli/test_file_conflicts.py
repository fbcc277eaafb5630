"""Commands do not overwrite the files that they read, and two commands do not write the same file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.receivers.owed import wait_until
from tests.support.terminal import Terminal, results_in


@pytest.fixture
def terminal(terminal: Terminal) -> Terminal:
    terminal.write_definition()
    terminal.write_items(["an invoice", "a quote"])
    os.link("items.jsonl", "hard.jsonl")
    Path("soft.jsonl").symlink_to("items.jsonl")
    return terminal


def contents(terminal: Terminal) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in terminal.folder.iterdir()}


CSV = ("--output-format", "csv")
SHARED = {
    "results over input": ("run", "items.jsonl", "-o", "items.jsonl"),
    "results over input, by another path": ("run", "items.jsonl", "-o", "./hard.jsonl"),
    "results over input, by a link": ("run", "soft.jsonl", "-o", "items.jsonl"),
    "rejects over input": ("run", "items.jsonl", "--rejects", "items.jsonl"),
    "rejects over input of submit": ("submit", "items.jsonl", "--rejects", "hard.jsonl"),
    "results and rejects in one": ("run", "items.jsonl", "-o", "new.jsonl", "--rejects", "./new.jsonl"),
    "results over the definition": ("run", "items.jsonl", "-p", "mail.toml", "-o", "mail.toml", *CSV),
    "a model over its data": ("train", "items.jsonl", "--text", "text", "--label", "id", "-o", "hard.jsonl"),
}


@pytest.mark.parametrize("words", SHARED.values(), ids=SHARED)
def test_an_input_or_another_output_is_not_overwritten(terminal: Terminal, words: tuple[str, ...]) -> None:
    before = contents(terminal)
    result = terminal.run(*words)
    assert result.exit_code == 2, result.output
    assert "the same file as" in result.stderr
    assert contents(terminal) == before


@pytest.mark.parametrize("command", ["run --batch last", "results last", "results last --follow"])
def test_results_do_not_overwrite_the_database(terminal: Terminal, command: str) -> None:
    terminal.run("submit", "items.jsonl")
    result = terminal.run(*command.split(), "-o", "pipeline.db", "--output-format", "csv")
    assert result.exit_code == 2
    assert "the database" in result.stderr
    assert terminal.data("status", "last")["total"] == 2


def test_devices_may_be_used_twice(terminal: Terminal) -> None:
    result = terminal.run("run", "items.jsonl", "-o", os.devnull, "--rejects", os.devnull)
    assert result.exit_code == 0, result.stderr


def test_a_file_that_another_run_is_writing_is_rejected(terminal: Terminal) -> None:
    definition = str(terminal.write_obedient_definition())
    waiting = str(terminal.write_items(["done", "wait"], "waiting.jsonl"))
    first = terminal.start("run", waiting, "-p", definition, "-o", "out.jsonl")
    try:
        wait_until(lambda: Path("out.jsonl").exists() and len(results_in(Path("out.jsonl"))) == 1)
        written = Path("out.jsonl").read_bytes()
        for words in [("run", "items.jsonl", "-p", "mail.toml"), ("results", "last")]:
            result = terminal.run(*words, "-o", "out.jsonl")
            assert result.exit_code == 2
            assert "another process is writing to out.jsonl" in result.stderr
        assert Path("out.jsonl").read_bytes() == written
        assert len(terminal.data("status")) == 1
    finally:
        terminal.write("go", "")
        first.communicate(timeout=60)
    assert first.returncode == 0
    assert len(results_in(Path("out.jsonl"))) == 2
