"""What a person is told: what happened, the value, and what to do. Never a traceback."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pipeline.database.engine import Database
from tests.support.receiver import SECRET
from tests.support.terminal import Terminal


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


@pytest.mark.parametrize("mode", ["fail", "skip"])
@pytest.mark.parametrize("line", BAD_LINES)
def test_a_refused_item_is_in_the_rejects_whole(terminal: Terminal, line: str, mode: str) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", f'{{"id": "a", "text": "{"an invoice " * 40}"}}\n{line}\n')
    terminal.run("submit", "items.jsonl", "--rejects", "refused.jsonl", "--on-error", mode)
    rejected = json.loads(Path("refused.jsonl").read_text())
    assert rejected["line"] == 2
    assert content(rejected["text"]) == content(line)


def content(line: str) -> Any:
    """What a line says, however it is spaced; a line that is no JSON says itself."""
    try:
        return json.loads(line, parse_constant=str)
    except json.JSONDecodeError:
        return line


def test_refused_rows_are_in_the_rejects_whole(terminal: Terminal) -> None:
    terminal.write_definition()
    long = "an invoice " * 100
    terminal.write("items.csv", f'id,text\na,an invoice\na,{long}\nb\n"c","x\n{long}",more\n')
    terminal.run("submit", "items.csv", "--rejects", "refused.jsonl", "--on-error", "skip")
    texts = {each["line"]: each["text"] for each in map(json.loads, Path("refused.jsonl").read_text().splitlines())}
    assert json.loads(texts[3]) == {"id": "a", "text": long}
    assert texts[4] == "b"
    assert texts[5] == f'"c","x\n{long}",more'


def test_keys_that_come_twice_are_reported_with_what_else_is_wrong(terminal: Terminal) -> None:
    terminal.write_definition()
    lines = [*('{"id": "a", "text": "an invoice"}' for _ in range(3)), "not json", '{"id": "b"}']
    terminal.write("items.jsonl", "\n".join(lines))
    said = refused(terminal, "submit", "items.jsonl", "--rejects", "refused.jsonl")
    assert "4 of the items cannot be accepted" in said
    assert all(f"\n  line {lines}: " in said for lines in ("2 and 1 more", "4", "5"))
    kept = [json.loads(each)["line"] for each in Path("refused.jsonl").read_text().splitlines()]
    assert sorted(kept) == [2, 3, 4, 5]
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


@pytest.mark.parametrize("flag", ["--callback-url", "--batch-callback-url", "--fallback-url"])
def test_a_callback_url_that_cannot_be_used_is_called_as_it_was_typed(
    terminal: Terminal, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    given = ["--callback-url", "https://example.com/hook"] if flag == "--fallback-url" else []
    said = refused(terminal, "submit", items, *given, flag, "htps://example.com/hook?token=hidden")
    assert said.startswith(f"error: {flag} 'htps://example.com…' is not an absolute URL")


def test_networks_for_callbacks_that_are_none_are_shown_by_example(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "localhost")
    said = refused(terminal, "status")
    assert "'localhost' is not a network; use CIDR notation, such as 127.0.0.0/8 or 10.1.2.3/32" in said


def test_a_fallback_without_a_callback_says_that_nothing_falls_back(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    said = refused(terminal, "submit", items, "--fallback-url", "https://example.com/hook")
    assert "--fallback-url says nothing without a callback" in said


def test_a_field_for_callback_urls_that_no_item_has_is_refused(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    terminal.write_definition()
    items = [{"id": "a", "text": "x", "hook": "https://example.com/a"}, {"id": "b", "text": "x", "hook": ""}]
    terminal.write("items.jsonl", "\n".join([*map(json.dumps, items), '{"id": "c", "text": "x"}']))
    said = refused(terminal, "submit", "items.jsonl", "--callback-url-field", "hok")
    assert "no item has the field 'hok'" in said
    assert "did you mean 'hook'" in said
    assert terminal.data("status") == []
    result = terminal.run("submit", "items.jsonl", "--callback-url-field", "hook", "--quiet")
    assert result.exit_code == 0
    assert result.stderr == "2 items without a callback URL in 'hook'\n"


def test_a_misspelt_header_is_told_once(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("items.csv", "id,txt\n" + "a,an invoice\n" * 2_000)
    said = refused(terminal, "submit", "items.csv")
    assert "2,000 of the items cannot be accepted" in said
    assert "line 2 and 1,999 more: it has no field 'text'" in said
    assert len(said.splitlines()) == 3


def test_a_key_that_is_null_says_what_a_key_is(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", '{"id": null, "text": "x"}')
    assert "is null; expected a string or a whole number" in refused(terminal, "submit", "items.jsonl")


def test_a_file_that_is_no_definition_is_told_so(terminal: Terminal) -> None:
    items = str(terminal.write_items(["x"]))
    assert f"{items} is not a definition; definitions are TOML files" in refused(terminal, "run", items, "-p", items)


def test_a_byte_is_told_by_where_it_is(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", b'{"id": "a", "text": "\xff"}\n')
    assert "line 1: byte 21 of the input (0xff) is not valid UTF-8" in refused(terminal, "submit", "items.jsonl")


WRONG_VALUES = {
    '[classify]\nuse = "keywords"\nrules = []': "expected at least one",
    '[classify]\nuse = "m:f"\n[retry]\nmax_attempts = "many"': "expected a whole number",
    '[classify]\nuse = "m:f"\n[retry]\nmax_attempts = 0': "expected 1 or more",
    '[classify]\nuse = "m:f"\nlabels = "a"': "expected a list",
    '[classify]\nuse = "m:f"\ntimeout_seconds = "x"': "expected a number",
    '[classify]\nuse = "m:f"\n[input]\nkey = 1': "expected text",
}


@pytest.mark.parametrize(("tables", "expected"), WRONG_VALUES.items())
def test_values_that_do_not_fit_are_told_in_words_of_people(terminal: Terminal, tables: str, expected: str) -> None:
    terminal.write("bad.toml", f'name = "bad"\n{tables}\n')
    said = refused(terminal, "run", str(terminal.write_items(["x"])), "-p", "bad.toml")
    assert expected in said
    assert not any(word in said for word in ("Input should", "input should", "validation", "tuple"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PIPELINE_CONCURRENCY", "four", "PIPELINE_CONCURRENCY is 'four': expected a whole number"),
        ("PIPELINE_CONCURRENCY", "0", "PIPELINE_CONCURRENCY is '0': expected 1 or more"),
        ("PIPELINE_TASK_EVENTS", "perhaps", "expected true or false"),
        ("PIPELINE_LEASE_SECONDS", "long", "expected a number"),
    ],
)
def test_settings_that_do_not_fit_are_told_in_words_of_people(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    assert expected in refused(terminal, "status")


UNRUNNABLE = {
    "no such module": ('use = "nowhere_at_all:classify"', "no module 'nowhere_at_all'"),
    "no such function": ('use = "whole_MODULE:missing"', "has no 'missing'"),
    "module that fails": ('use = "torn_MODULE:classify"', "cannot be imported: ZeroDivisionError"),
    "no pattern": ('use = "keywords"\n[[classify.rules]]\nlabel = "a"\nregex = "("', "not a valid RE2 pattern"),
    "no model": ('use = "sklearn"\nmodel = "gone.skops"', "gone.skops"),
    "no key": (
        'use = "keywords"\ndefault = "a"\n[[classify.rules]]\nlabel = "a"\nany = ["x"]\n'
        '[[enrich]]\nuse = "lookup"\ntable = "ref.csv"\nkey = "nmae"\non = "id"',
        "did you mean 'name'",
    ),
}


@pytest.mark.parametrize("command", ["run", "submit"])
@pytest.mark.parametrize(("tables", "expected"), UNRUNNABLE.values(), ids=UNRUNNABLE)
def test_a_definition_that_cannot_run_is_refused_before_anything_is_stored(
    terminal: Terminal, tables: str, expected: str, command: str
) -> None:
    # A process imports a module of one name once.
    module = uuid.uuid4().hex
    terminal.write(f"whole_{module}.py", "def classify(item): return 'a'\n")
    terminal.write(f"torn_{module}.py", "1 / 0\n")
    terminal.write("ref.csv", "name,id\nx,1\n")
    terminal.write("bad.toml", f'name = "bad"\n[classify]\n{tables}\n'.replace("MODULE", module))
    said = refused(terminal, command, str(terminal.write_items(["x"])), "-p", "bad.toml")
    assert expected in said
    assert terminal.data("status") == []


def test_what_only_workers_need_is_not_needed_to_submit_to_them(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal.run("db", "upgrade")
    # Nobody listens there: the batch is stored all the same.
    monkeypatch.setenv("PIPELINE_BROKER_URL", "redis://127.0.0.1:1/0")
    items = str(terminal.write_items(["x"]))
    terminal.write("there.toml", 'name = "there"\n[classify]\nuse = "nowhere_at_all:classify"\n')
    result = terminal.run("submit", items, "-p", "there.toml")
    assert result.exit_code == 0, result.stderr
    assert any("nowhere_at_all:classify" in line for line in caplog.messages)
    terminal.write("bad.toml", f'name = "bad"\n[classify]\n{UNRUNNABLE["no pattern"][0]}\n')
    assert "not a valid RE2 pattern" in refused(terminal, "submit", items, "-p", "bad.toml")
