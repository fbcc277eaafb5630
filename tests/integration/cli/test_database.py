"""Unusable databases: the message names the file, the problem and the fix."""

from __future__ import annotations

import json

import pytest

import pipeline
from pipeline.errors import InvalidSettings
from tests.support.terminal import Terminal


@pytest.fixture
def terminal(terminal: Terminal) -> Terminal:
    terminal.write_definition()
    terminal.write_items(["an invoice"])
    return terminal


def checks(terminal: Terminal) -> dict[str, tuple[str, str]]:
    """Return the verdict and value of each check of `pipeline doctor`, by name."""
    return {
        check["name"]: (check["verdict"], check["value"])
        for check in json.loads(terminal.run("doctor", "--json").stdout)
    }


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_an_in_memory_database_is_rejected(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", url)
    for words in [("run", "items.jsonl"), ("status",), ("submit", "items.jsonl")]:
        result = terminal.run(*words)
        assert result.exit_code == 2
        assert "name a file" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert checks(terminal)["database"][0] == "fail"
    with pytest.raises(InvalidSettings, match="in-memory"):
        pipeline.connect(database_url=url)


def test_a_file_that_is_not_a_database_is_named(terminal: Terminal) -> None:
    terminal.write("pipeline.db", "these are notes, and long enough not to be taken for an empty file\n" * 50)
    for words in [("run", "items.jsonl"), ("status",), ("db", "upgrade")]:
        result = terminal.run(*words)
        assert result.exit_code == 2, result.stderr
        assert f"{terminal.folder / 'pipeline.db'} is not a SQLite database" in result.stderr
    verdict, value = checks(terminal)["database"]
    assert verdict == "fail"
    assert "is not a SQLite database" in value


class TestReadOnly:
    @pytest.fixture(autouse=True)
    def read_only(self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal.run("run", "items.jsonl")
        # Applies to root as well, unlike file permissions.
        monkeypatch.setenv("PIPELINE_DATABASE_URL", "sqlite:///file:pipeline.db?mode=ro&uri=true")

    def test_reading_works(self, terminal: Terminal) -> None:
        assert terminal.data("status", "last")["succeeded"] == 1
        assert "billing" in terminal.run("results", "last").stdout

    @pytest.mark.parametrize("words", [("run", "items.jsonl"), ("submit", "items.jsonl"), ("pause", "last")])
    def test_writing_reports_that_the_database_is_read_only(self, terminal: Terminal, words: tuple[str, ...]) -> None:
        result = terminal.run(*words)
        assert result.exit_code == 3, result.stderr
        assert "is read-only" in result.stderr
        assert "unexpected" not in result.stderr

    def test_doctor_reports_it(self, terminal: Terminal) -> None:
        verdict, value = checks(terminal)["writable"]
        assert verdict == "fail"
        assert "read-only" in value


def test_a_missing_folder_is_named_as_the_user_wrote_it(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", "sqlite:///missing/pipeline.db")
    result = terminal.run("run", "items.jsonl")
    assert result.exit_code == 3
    assert f"there is no folder {terminal.folder / 'missing'}" in result.stderr
    assert "pysqlite" not in result.stderr
