"""What a person is told: what happened, the value, and what to do. Never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.storage.engine import Database
from tests.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path)


def refused(terminal: Terminal, *words: str, code: int = 2) -> str:
    """Run a command that must fail; return what it says."""
    result = terminal.run(*words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_missing_file_names_the_nearest(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write_items(["x"], "tickets.jsonl")
    said = refused(terminal, "run", "tikets.jsonl")
    assert said.startswith("error: ")
    assert "tickets.jsonl" in said


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_has_no_items(terminal: Terminal, content: str) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", content)
    assert "no items in items.jsonl" in refused(terminal, "submit", "items.jsonl")


BAD_LINES = {
    "not json": "line 2",
    '{"id": "b", "text": NaN}': "line 2",
    '{"id": "b", "text": "half \\ud800 pair"}': "surrogate",
    '{"id": "b", "text": "nul \\u0000"}': "NUL",
    '["b"]': "line 2",
    '{"id": "b", "txt": "an invoice"}': "did you mean 'txt'",
    '{"id": "a", "text": "an invoice"}': "'a'",
}


@pytest.mark.parametrize(("line", "expected"), BAD_LINES.items())
def test_one_bad_line_refuses_the_file_and_is_named(terminal: Terminal, line: str, expected: str) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", f'{{"id": "a", "text": "an invoice"}}\n{line}\n')
    said = refused(terminal, "run", "items.jsonl", "--rejects", "refused.jsonl")
    assert "line 2" in said
    assert expected in said
    assert "--on-error skip" in said
    assert [json.loads(each)["line"] for each in Path("refused.jsonl").read_text().splitlines()] == [2]
    assert terminal.data("status") == []


@pytest.mark.parametrize("line", BAD_LINES)
def test_one_bad_line_is_skipped_where_that_is_wanted(terminal: Terminal, line: str) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", f'{{"id": "a", "text": "an invoice"}}\n{line}\n')
    result = terminal.run("submit", "items.jsonl", "--on-error", "skip")
    assert result.exit_code == 0, result.stderr
    assert "skipped line 2" in result.stderr
    assert terminal.data("status", "last")["total"] == 1


def test_a_file_of_bad_lines_only_is_refused_even_where_they_are_skipped(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", "not json\n")
    assert "no item" in refused(terminal, "submit", "items.jsonl", "--on-error", "skip")


def test_an_unknown_batch_is_named(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    for words in [("status",), ("watch",), ("results",), ("pause",), ("cancel",), ("dead", "list"), ("show",)]:
        said = refused(terminal, *words, "nosuchbatch")
        assert "'nosuchbatch'" in said
    assert "'nosuchbatch'" in refused(terminal, "run", "--batch", "nosuchbatch")


def test_looking_makes_no_database(terminal: Terminal) -> None:
    said = refused(terminal, "status")
    assert "pipeline.db" in said
    assert "pipeline run" in said
    assert list(terminal.folder.iterdir()) == []


def test_an_unknown_definition_lists_those_that_exist(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    assert "did you mean 'mail'" in refused(terminal, "run", items, "-p", "mial")


def test_no_definition_at_all_says_how_to_name_one(terminal: Terminal) -> None:
    assert "-p" in refused(terminal, "run", str(terminal.write_items(["x"])))


def test_of_several_definitions_one_must_be_chosen(terminal: Terminal) -> None:
    terminal.write_definition("a.toml")
    terminal.write_definition("b.toml")
    said = refused(terminal, "run", str(terminal.write_items(["x"])))
    assert "-p a.toml" in said
    assert "-p b.toml" in said


def test_a_broken_definition_names_its_field(terminal: Terminal) -> None:
    terminal.write("bad.toml", 'name = "bad"\n[classify]\nuse = "keywords"\ndefualt = "x"\n')
    said = refused(terminal, "run", str(terminal.write_items(["x"])), "-p", "bad.toml")
    assert "bad.toml" in said
    assert "defualt" in said


def test_a_newer_database_is_refused_untouched(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    terminal.run("submit", items)
    database = Database("sqlite:///pipeline.db")
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for words in [("status",), ("run", items), ("submit", items), ("db", "upgrade")]:
        assert "9999" in refused(terminal, *words, code=3)


def test_a_setting_that_does_not_exist_is_named(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_ULR", "sqlite:///other.db")
    assert "did you mean PIPELINE_DATABASE_URL" in refused(terminal, "status")


def test_a_callback_without_a_secret_says_how_to_make_one(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    said = refused(terminal, "run", items, "--callback-url", "https://example.com/hook")
    assert "pipeline secret" in said


def test_a_database_that_cannot_be_opened_is_unreachable(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", "sqlite:///missing/folder/pipeline.db")
    terminal.write_definition()
    said = refused(terminal, "run", str(terminal.write_items(["x"])), code=3)
    assert "missing/folder" in said


def test_errors_are_json_where_json_is_wanted(terminal: Terminal) -> None:
    for words, kind in [(("status", "--json"), "NotFound"), (("status", "--limit", "0", "--json"), "BadParameter")]:
        error = json.loads(refused(terminal, *words))["error"]
        assert error["type"] == kind
        assert error["message"]


def test_an_unknown_command_names_the_nearest(terminal: Terminal) -> None:
    assert "'submit'" in refused(terminal, "sumbit")
    assert "'replay'" in refused(terminal, "dead", "repaly")


def test_a_fault_of_ours_is_short_and_says_how_to_see_more(terminal: Terminal) -> None:
    # A table that is gone is nothing a command expects.
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["secret text"])))
    database = Database("sqlite:///pipeline.db")
    with database.write() as connection:
        connection.execute(text("ALTER TABLE items RENAME TO gone"))
    database.close()
    said = refused(terminal, "show", "m-1", code=70)
    assert said.startswith("error: unexpected OperationalError: no such table")
    assert "pipeline --debug" in said
    assert "Traceback" in terminal.run("--debug", "show", "m-1").stderr
