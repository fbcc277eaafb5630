"""Error messages say what happened, with the value, and what to do. They never show a traceback."""

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


def rejected(terminal: Terminal, *words: str, code: int = 2) -> str:
    """Run a command that must exit with `code`; return what it prints to standard error."""
    result = terminal.run(*words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_missing_file_suggests_the_closest_name(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write_items(["x"], "tickets.jsonl")
    stderr = rejected(terminal, "run", "tikets.jsonl")
    assert stderr.startswith("error: ")
    assert "tickets.jsonl" in stderr


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_has_no_items(terminal: Terminal, content: str) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", content)
    assert "no items in items.jsonl" in rejected(terminal, "submit", "items.jsonl")


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
def test_one_bad_line_rejects_the_file_and_is_named(terminal: Terminal, line: str, expected: str) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", f'{{"id": "a", "text": "an invoice"}}\n{line}\n')
    stderr = rejected(terminal, "run", "items.jsonl", "--rejects", "rejected.jsonl")
    assert "line 2" in stderr
    assert expected in stderr
    assert "--on-error skip" in stderr
    assert [json.loads(line)["line"] for line in Path("rejected.jsonl").read_text().splitlines()] == [2]
    assert terminal.data("status") == []


@pytest.mark.parametrize("mode", ["fail", "skip"])
@pytest.mark.parametrize("line", BAD_LINES)
def test_a_rejected_item_is_complete_in_the_rejects_file(terminal: Terminal, line: str, mode: str) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", f'{{"id": "a", "text": "{"an invoice " * 40}"}}\n{line}\n')
    terminal.run("submit", "items.jsonl", "--rejects", "rejected.jsonl", "--on-error", mode)
    rejected = json.loads(Path("rejected.jsonl").read_text())
    assert rejected["line"] == 2
    assert content(rejected["text"]) == content(line)


def content(line: str) -> Any:
    """Return the parsed line, to compare regardless of spacing; the line itself if it is not JSON."""
    try:
        return json.loads(line, parse_constant=str)
    except json.JSONDecodeError:
        return line


def test_rejected_rows_are_complete_in_the_rejects_file(terminal: Terminal) -> None:
    terminal.write_definition()
    long = "an invoice " * 100
    terminal.write("items.csv", f'id,text\na,an invoice\na,{long}\nb\n"c","x\n{long}",more\n')
    terminal.run("submit", "items.csv", "--rejects", "rejected.jsonl", "--on-error", "skip")
    rejections = map(json.loads, Path("rejected.jsonl").read_text().splitlines())
    texts = {rejection["line"]: rejection["text"] for rejection in rejections}
    assert json.loads(texts[3]) == {"id": "a", "text": long}
    assert texts[4] == "b"
    assert texts[5] == f'"c","x\n{long}",more'


def test_duplicate_keys_are_reported_together_with_other_errors(terminal: Terminal) -> None:
    terminal.write_definition()
    lines = [*('{"id": "a", "text": "an invoice"}' for _ in range(3)), "not json", '{"id": "b"}']
    terminal.write("items.jsonl", "\n".join(lines))
    stderr = rejected(terminal, "submit", "items.jsonl", "--rejects", "rejected.jsonl")
    assert "4 of the items cannot be accepted" in stderr
    assert all(f"\n  line {lines}: " in stderr for lines in ("2 and 1 more", "4", "5"))
    kept = [json.loads(line)["line"] for line in Path("rejected.jsonl").read_text().splitlines()]
    assert sorted(kept) == [2, 3, 4, 5]
    assert terminal.data("status") == []


@pytest.mark.parametrize("line", BAD_LINES)
def test_one_bad_line_is_skipped_on_request(terminal: Terminal, line: str) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", f'{{"id": "a", "text": "an invoice"}}\n{line}\n')
    result = terminal.run("submit", "items.jsonl", "--on-error", "skip")
    assert result.exit_code == 0, result.stderr
    assert "skipped line 2" in result.stderr
    assert terminal.data("status", "last")["total"] == 1


def test_a_file_of_bad_lines_only_is_rejected_even_if_they_are_skipped(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", "not json\n")
    assert "no item" in rejected(terminal, "submit", "items.jsonl", "--on-error", "skip")


def test_an_unknown_batch_is_named(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["x"])))
    for words in [("status",), ("watch",), ("results",), ("pause",), ("cancel",), ("dead", "list"), ("show",)]:
        stderr = rejected(terminal, *words, "nosuchbatch")
        assert "'nosuchbatch'" in stderr
    assert "'nosuchbatch'" in rejected(terminal, "run", "--batch", "nosuchbatch")


def test_reading_commands_create_no_database(terminal: Terminal) -> None:
    stderr = rejected(terminal, "status")
    assert "pipeline.db" in stderr
    assert "pipeline run" in stderr
    assert list(terminal.folder.iterdir()) == []


def test_an_unknown_definition_suggests_the_closest_name(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    assert "did you mean 'mail'" in rejected(terminal, "run", items, "-p", "mial")


def test_without_a_definition_the_message_names_the_option(terminal: Terminal) -> None:
    assert "-p" in rejected(terminal, "run", str(terminal.write_items(["x"])))


def test_several_definitions_are_listed_to_choose_from(terminal: Terminal) -> None:
    terminal.write_definition("a.toml")
    terminal.write_definition("b.toml")
    stderr = rejected(terminal, "run", str(terminal.write_items(["x"])))
    assert "-p a.toml" in stderr
    assert "-p b.toml" in stderr


def test_an_invalid_definition_names_the_field(terminal: Terminal) -> None:
    terminal.write("bad.toml", 'name = "bad"\n[classify]\nuse = "keywords"\ndefualt = "x"\n')
    stderr = rejected(terminal, "run", str(terminal.write_items(["x"])), "-p", "bad.toml")
    assert "bad.toml" in stderr
    assert "defualt" in stderr


def test_a_newer_database_is_rejected_unchanged(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    terminal.run("submit", items)
    database = Database("sqlite:///pipeline.db")
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for words in [("status",), ("run", items), ("submit", items), ("db", "upgrade")]:
        assert "9999" in rejected(terminal, *words, code=3)


def test_an_unknown_setting_suggests_the_closest_name(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_ULR", "sqlite:///other.db")
    assert "did you mean PIPELINE_DATABASE_URL" in rejected(terminal, "status")


def test_a_callback_without_a_secret_says_how_to_generate_one(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    stderr = rejected(terminal, "run", items, "--callback-url", "https://example.com/hook")
    assert "pipeline secret" in stderr


def test_a_database_that_cannot_be_opened_is_unreachable(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", "sqlite:///missing/folder/pipeline.db")
    terminal.write_definition()
    stderr = rejected(terminal, "run", str(terminal.write_items(["x"])), code=3)
    assert "missing/folder" in stderr


def test_errors_are_json_under_json(terminal: Terminal) -> None:
    for words, kind in [(("status", "--json"), "NotFound"), (("status", "--limit", "0", "--json"), "BadParameter")]:
        error = json.loads(rejected(terminal, *words))["error"]
        assert error["type"] == kind
        assert error["message"]


def test_an_unknown_command_suggests_the_closest_name(terminal: Terminal) -> None:
    assert "'submit'" in rejected(terminal, "sumbit")
    assert "'replay'" in rejected(terminal, "dead", "repaly")


def test_an_internal_error_is_one_line_and_names_the_debug_option(terminal: Terminal) -> None:
    # No command expects a missing table.
    terminal.write_definition()
    terminal.run("submit", str(terminal.write_items(["secret text"])))
    database = Database("sqlite:///pipeline.db")
    with database.write() as connection:
        connection.execute(text("ALTER TABLE items RENAME TO gone"))
    database.close()
    stderr = rejected(terminal, "show", "m-1", code=70)
    assert stderr.startswith("error: unexpected OperationalError: no such table")
    assert "This is a bug in pipeline. Run `pipeline --debug …`" in stderr
    assert "Traceback" in terminal.run("--debug", "show", "m-1").stderr


@pytest.mark.parametrize("flag", ["--callback-url", "--batch-callback-url", "--fallback-url"])
def test_an_invalid_callback_url_is_named_by_its_option(
    terminal: Terminal, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    given = ["--callback-url", "https://example.com/hook"] if flag == "--fallback-url" else []
    stderr = rejected(terminal, "submit", items, *given, flag, "htps://example.com/hook?token=hidden")
    assert stderr.startswith(f"error: {flag} 'htps://example.com…' is not an absolute URL")


def test_an_invalid_network_is_named_with_an_example(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "localhost")
    stderr = rejected(terminal, "status")
    assert "'localhost' is not a network; use CIDR notation, such as 127.0.0.0/8 or 10.1.2.3/32" in stderr


def test_a_fallback_url_without_a_callback_is_rejected(terminal: Terminal) -> None:
    terminal.write_definition()
    items = str(terminal.write_items(["x"]))
    stderr = rejected(terminal, "submit", items, "--fallback-url", "https://example.com/hook")
    assert "--fallback-url has no effect without a callback" in stderr


def test_a_callback_url_field_that_no_item_has_is_rejected(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    terminal.write_definition()
    items = [{"id": "a", "text": "x", "hook": "https://example.com/a"}, {"id": "b", "text": "x", "hook": ""}]
    terminal.write("items.jsonl", "\n".join([*map(json.dumps, items), '{"id": "c", "text": "x"}']))
    stderr = rejected(terminal, "submit", "items.jsonl", "--callback-url-field", "hok")
    assert "no item has the field 'hok'" in stderr
    assert "did you mean 'hook'" in stderr
    assert terminal.data("status") == []
    result = terminal.run("submit", "items.jsonl", "--callback-url-field", "hook", "--quiet")
    assert result.exit_code == 0
    assert result.stderr == "2 items without a callback URL in the field 'hook'\n"


def test_a_misspelt_header_is_reported_once(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("items.csv", "id,txt\n" + "a,an invoice\n" * 2_000)
    stderr = rejected(terminal, "submit", "items.csv")
    assert "2,000 of the items cannot be accepted" in stderr
    assert "line 2 and 1,999 more: it has no field 'text'" in stderr
    assert len(stderr.splitlines()) == 3


def test_a_null_key_is_rejected_with_what_a_key_may_be(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", '{"id": null, "text": "x"}')
    assert "is null; expected a string or a whole number" in rejected(terminal, "submit", "items.jsonl")


def test_a_file_that_is_not_a_definition_is_rejected(terminal: Terminal) -> None:
    items = str(terminal.write_items(["x"]))
    assert f"{items} is not a definition; definitions are TOML files" in rejected(terminal, "run", items, "-p", items)


def test_an_invalid_byte_is_located(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("items.jsonl", b'{"id": "a", "text": "\xff"}\n')
    assert "line 1: byte 21 of the input (0xff) is not valid UTF-8" in rejected(terminal, "submit", "items.jsonl")


WRONG_VALUES = {
    '[classify]\nuse = "keywords"\nrules = []': "expected at least one",
    '[classify]\nuse = "m:f"\n[retry]\nmax_attempts = "many"': "expected a whole number",
    '[classify]\nuse = "m:f"\n[retry]\nmax_attempts = 0': "expected 1 or more",
    '[classify]\nuse = "m:f"\nlabels = "a"': "expected a list",
    '[classify]\nuse = "m:f"\ntimeout_seconds = "x"': "expected a number",
    '[classify]\nuse = "m:f"\n[input]\nkey = 1': "expected text",
}


@pytest.mark.parametrize(("tables", "expected"), WRONG_VALUES.items())
def test_invalid_values_in_a_definition_are_explained_in_plain_words(
    terminal: Terminal, tables: str, expected: str
) -> None:
    terminal.write("bad.toml", f'name = "bad"\n{tables}\n')
    stderr = rejected(terminal, "run", str(terminal.write_items(["x"])), "-p", "bad.toml")
    assert expected in stderr
    assert not any(word in stderr for word in ("Input should", "input should", "validation", "tuple"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PIPELINE_CONCURRENCY", "four", "PIPELINE_CONCURRENCY is 'four': expected a whole number"),
        ("PIPELINE_CONCURRENCY", "0", "PIPELINE_CONCURRENCY is '0': expected 1 or more"),
        ("PIPELINE_TASK_EVENTS", "perhaps", "expected true or false"),
        ("PIPELINE_LEASE_SECONDS", "long", "expected a number"),
    ],
)
def test_invalid_settings_are_explained_in_plain_words(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    assert expected in rejected(terminal, "status")


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
def test_a_definition_that_cannot_run_is_rejected_before_anything_is_stored(
    terminal: Terminal, tables: str, expected: str, command: str
) -> None:
    # A process imports a module only once, so each test needs modules of its own.
    module = uuid.uuid4().hex
    terminal.write(f"whole_{module}.py", "def classify(item): return 'a'\n")
    terminal.write(f"torn_{module}.py", "1 / 0\n")
    terminal.write("ref.csv", "name,id\nx,1\n")
    terminal.write("bad.toml", f'name = "bad"\n[classify]\n{tables}\n'.replace("MODULE", module))
    stderr = rejected(terminal, command, str(terminal.write_items(["x"])), "-p", "bad.toml")
    assert expected in stderr
    assert terminal.data("status") == []


def test_modules_that_only_workers_need_are_not_needed_to_submit(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal.run("db", "upgrade")
    # Nothing listens there; the batch is stored anyway.
    monkeypatch.setenv("PIPELINE_BROKER_URL", "redis://127.0.0.1:1/0")
    items = str(terminal.write_items(["x"]))
    terminal.write("there.toml", 'name = "there"\n[classify]\nuse = "nowhere_at_all:classify"\n')
    result = terminal.run("submit", items, "-p", "there.toml")
    assert result.exit_code == 0, result.stderr
    assert any("nowhere_at_all:classify" in line for line in caplog.messages)
    terminal.write("bad.toml", f'name = "bad"\n[classify]\n{UNRUNNABLE["no pattern"][0]}\n')
    assert "not a valid RE2 pattern" in rejected(terminal, "submit", items, "-p", "bad.toml")
