"""Definitions: reading them, reporting mistakes in them, and sending them to a worker."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.definitions import (
    Definition,
    build_runner,
    find_definition,
    from_content,
    load_definition,
    make_backoff,
    to_content,
)
from pipeline.domain.item import Classification, Stage, WorkItem
from pipeline.errors import InvalidDefinition, NotFound
from pipeline.stages.run.executor import Executor

FULL = """
name = "support-tickets"
[input]
key = "ticket_id"
text = "body"
[classify]
use = "my_rules:classify"
labels = ["billing", "other"]
timeout_seconds = 5
[[enrich]]
use = "my_rules:company"
[[enrich]]
use = "my_rules:company"
name = "again"
[retry]
max_attempts = 7
base_seconds = 0.5
cap_seconds = 60
"""
SMALL = '[classify]\nuse = "my_rules:classify"\n'
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str, name: str = "tickets.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def _import_state() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def error_message(path: Path) -> str:
    with pytest.raises(InvalidDefinition) as caught:
        load_definition(path)
    return str(caught.value)


def small(**tables: Any) -> Definition:
    return Definition(**{"name": "small", "classify": {"use": "my_rules:classify"}} | tables)


class TestReading:
    def test_a_file_may_set_every_field(self, write: Write, tmp_path: Path) -> None:
        definition = load_definition(write(FULL))
        assert definition.name == "support-tickets"
        assert (definition.input.key, definition.input.text) == ("ticket_id", "body")
        assert definition.classify.labels == ("billing", "other")
        assert [spec.name for spec in definition.enrich] == [None, "again"]
        assert definition.retry.max_attempts == 7
        assert make_backoff(definition.retry).base == timedelta(seconds=0.5)
        assert make_backoff(definition.retry).cap == timedelta(seconds=60)
        assert definition.stages == ("classify", "enrich")
        assert definition.folder == tmp_path

    def test_omitted_fields_have_defaults(self, write: Write) -> None:
        definition = load_definition(write(f'name = "small"\n{SMALL}'))
        assert (definition.input.key, definition.input.text) == (None, "text")
        assert definition.retry.max_attempts == 5
        assert make_backoff(definition.retry).ceiling(1) == timedelta(seconds=1)
        assert make_backoff(definition.retry).ceiling(99) == timedelta(minutes=5)
        assert definition.stages == ("classify",)

    def test_a_definition_in_python_equals_the_same_one_in_a_file(self, write: Write, tmp_path: Path) -> None:
        in_python = Definition(
            name="small", classify={"use": "my_rules:classify"}, enrich=[{"use": "a:b"}], folder=tmp_path
        )
        in_file = load_definition(write(f'name = "small"\n{SMALL}[[enrich]]\nuse = "a:b"\n'))
        assert in_python == in_file
        assert in_python.version == in_file.version

    def test_a_file_may_have_a_byte_order_mark_and_windows_line_ends(self, tmp_path: Path) -> None:
        path = tmp_path / "windows.toml"
        path.write_bytes(b"\xef\xbb\xbf" + f'name = "small"\r\n{SMALL}'.encode())
        assert load_definition(path).name == "small"

    def test_a_definition_is_immutable(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            small().name = "other"


class TestMistakes:
    def test_a_syntax_error_is_reported_with_line_and_column(self, write: Write) -> None:
        path = write('name = "x"\n[classify\n')
        message = error_message(path)
        assert str(path) in message
        assert "line 2, column" in message

    def test_a_missing_file_and_one_that_is_not_text_are_named(self, tmp_path: Path) -> None:
        path = tmp_path / "absent.toml"
        assert f"{path} cannot be read: No such file" in error_message(path)
        path.write_bytes(b"name = '\xff'")
        assert f"{path} is not UTF-8 text (byte 8 of the file)" in error_message(path)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (SMALL, "name is missing"),
            ('name = "x"', "classify is missing"),
            ('name = "x"\n[classify]\nlabels = ["a"]', "classify.use is missing; expected keywords, sklearn or"),
            ('name = "x"\n[classify]\nuse = "keyword"', "classify.use = 'keyword': expected keywords, sklearn or"),
            ('name = "x"\n[classify]\nuse = "keyword"', "did you mean 'keywords'?"),
            ('name = "x"\n[classify]\nuse = "m.f"', "classify.use = 'm.f': expected"),
            (f'nam = "x"\n{SMALL}', "nam is not a field of a definition; did you mean 'name'?"),
            (f'folder = "x"\nname = "x"\n{SMALL}', "folder is not a field of a definition"),
            (f'name = "x"\n{SMALL}timeout_second = 3', "classify.timeout_second is not a field of [classify]; did you"),
            (f'name = "x"\n{SMALL}zzz = 3', "its fields are use, timeout_seconds, labels"),
            (f'name = "x"\n{SMALL}timeout_seconds = "soon"', "classify.timeout_seconds = 'soon': expected a number"),
            (f'name = "x"\n{SMALL}timeout_seconds = nan', "classify.timeout_seconds = nan: expected"),
            (
                f'name = "x"\n{SMALL}[[enrich]]\nuse = "a:b"\n[[enrich]]\nuse = "c:d"\nnme = 1',
                "enrich[1].nme is not a field",
            ),
            (f'name = "x"\n{SMALL}[[enrich]]\nuse = "languag"', "did you mean 'language'?"),
            (f'name = "x"\n{SMALL}[enrich]\nuse = "a:b"', "write [[enrich]] instead of [enrich]"),
            ('name = "x"\n[[classify]]\nuse = "a:b"', "write [classify] instead of [[classify]]"),
            (f'name = "x"\n{SMALL}[[enrich]]\nuse = "a:b"\n[[enrich]]\nuse = "c:b"', "two enrichers are called 'b'"),
            (f'name = "x"\n{SMALL}[retry]\nmax_attempts = 0', "retry.max_attempts = 0: expected 1 or more"),
            (f'name = "x"\n{SMALL}[retry]\nmax_attempts = 101', "retry.max_attempts = 101: expected 100 or less"),
            (f'name = "x"\n{SMALL}[retry]\ncap_seconds = 0.5', "cap_seconds = 0.5 is below base_seconds = 1"),
            (f'name = "x"\n{SMALL}[input]\nkye = "id"', "input.kye is not a field of [input]; did you mean 'key'?"),
        ],
    )
    def test_a_mistake_is_reported_with_file_field_value_and_what_was_expected(
        self, write: Write, text: str, expected: str
    ) -> None:
        path = write(text)
        message = error_message(path)
        assert message.startswith(f"{path}: ")
        assert expected in message

    def test_a_mistake_inside_a_rule_suggests_the_rules_fields(self, write: Write) -> None:
        text = 'name = "x"\n[classify]\nuse = "keywords"\n[[classify.rules]]\nlabel = "a"\nanyy = ["b"]'
        expected = "classify.rules[0].anyy is not a field of [classify.rules[0]]; did you mean 'any'?"
        assert expected in error_message(write(text))

    def test_all_mistakes_are_reported_at_once(self, write: Write) -> None:
        message = error_message(write("nam = 1\n[classify]\nuse = 7\n[retry]\nmax_attempts = 0"))
        assert len(message.splitlines()) == 4

    def test_credentials_are_not_shown(self, write: Write) -> None:
        text = f'name = "x"\n{SMALL}timeout_seconds = "https://me:hunter2@host/"\n[retry]\napi_token = "hunter2"'
        message = error_message(write(text))
        assert "classify.timeout_seconds" in message
        assert "hunter2" not in message

    def test_a_mistake_in_python_has_the_same_message(self) -> None:
        with pytest.raises(InvalidDefinition, match=r"retry.max_attempts = 0: expected 1 or more"):
            small(retry={"max_attempts": 0})

    @given(st.dictionaries(st.sampled_from(["name", "classify", "enrich", "retry", "input", "x"]), st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["use", "name", "rules", "x"]), inner, max_size=3),
        max_leaves=8,
    )))  # fmt: skip
    def test_any_tables_give_a_definition_or_a_clear_error(self, tables: dict[str, Any]) -> None:
        with suppress(InvalidDefinition):
            assert Definition(**tables).stages[0] == "classify"


class TestContent:
    def test_content_survives_a_round_trip_through_json(self, write: Write) -> None:
        definition = load_definition(write(FULL))
        content = orjson.loads(orjson.dumps(to_content(definition)))
        assert from_content(content) == definition
        assert from_content(content).version == definition.version

    def test_the_version_is_sixteen_hexadecimal_digits(self) -> None:
        version = small().version
        assert len(version) == 16
        assert int(version, 16) >= 0

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "other"},
            {"input": {"text": "body"}},
            {"classify": {"use": "my_rules:classify", "labels": ["a"]}},
            {"enrich": [{"use": "a:b"}]},
            {"retry": {"max_attempts": 2}},
            {"folder": Path("/elsewhere")},
            {"files": {"/model": "0" * 64}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_any_change_changes_the_version(self, change: dict[str, Any]) -> None:
        assert from_content(to_content(small()) | change).version != small().version

    def test_content_from_a_newer_release_is_an_error_that_names_the_definition(self) -> None:
        content = to_content(small()) | {"classify": {"use": "from a newer release"}}
        with pytest.raises(InvalidDefinition, match="stored definition 'small': classify.use"):
            from_content(content)


class TestFind:
    def test_a_definition_is_found_by_its_path(self, write: Write) -> None:
        assert find_definition(str(write(f'name = "x"\n{SMALL}'))).name == "x"

    @pytest.mark.parametrize(
        "place", ["tickets.toml", "tickets/definition.toml", "some-file.toml", "some-folder/definition.toml"]
    )
    def test_a_definition_is_found_by_file_name_folder_name_or_its_own_name(
        self, write: Write, tmp_path: Path, place: str
    ) -> None:
        write(f'name = "tickets"\n{SMALL}', place)
        write(f'name = "other"\n{SMALL}', "other.toml")
        write("broken [", "broken.toml")
        assert find_definition("tickets", tmp_path).name == "tickets"

    def test_a_name_is_looked_up_in_the_current_directory_too(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(f'name = "tickets"\n{SMALL}')
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path)
        definition = find_definition("tickets", tmp_path / "empty")
        assert definition.name == "tickets"
        assert definition.folder == tmp_path

    def test_the_folder_of_definitions_comes_before_the_current_directory(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(f'name = "here"\n{SMALL}', "tickets/definition.toml")
        write(f'name = "there"\n{SMALL}', "definitions/tickets.toml")
        monkeypatch.chdir(tmp_path)
        assert find_definition("tickets", tmp_path / "definitions").name == "there"

    def test_an_unknown_name_lists_what_exists_and_suggests_the_closest(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(f'name = "tickets"\n{SMALL}')
        write(f'name = "leads"\n{SMALL}', "leads/definition.toml")
        write('name = "no definition"', "pyproject.toml")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(NotFound) as caught:
            find_definition("tikets", tmp_path)
        assert "there are leads, tickets; did you mean 'tickets'?" in str(caught.value)
        assert str(tmp_path) in str(caught.value)

    def test_without_any_definition_the_error_says_what_to_give(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(NotFound, match=r"no definition 'absent.toml'.*give the path of a .toml file"):
            find_definition("absent.toml")


@pytest.mark.usefixtures("_import_state")
class TestRunner:
    def test_a_definition_builds_the_runner_of_a_stage(self, write: Write) -> None:
        write("def classify(item): return item.text", "texts_of_items.py")
        text = 'name = "x"\n[classify]\nuse = "texts_of_items:classify"\nlabels = ["a"]\ntimeout_seconds = 9'
        with Executor() as executor:
            runner = build_runner(load_definition(write(text)), Stage.CLASSIFY, executor)
            assert [(step.name, step.timeout_seconds) for step in runner.steps] == [("classify", 9)]
            items = [WorkItem(f"b-{n}", "b", {}, text) for n, text in enumerate(["a", "z"])]
            done: dict[str, object] = {}
            ended = threading.Barrier(2, timeout=20)

            def emit(group: list[Any]) -> None:
                done.update((item.item_id, outcome) for item, outcome in group)
                if len(done) == 2:
                    ended.wait()

            runner.run(items, emit)
            ended.wait()
        assert done["b-0"] == Classification("a")
        assert getattr(done["b-1"], "type", None) == "unknown_label"

    def test_an_enrichers_answer_is_stored_under_its_own_or_a_chosen_name(self, write: Write) -> None:
        write("def company(item): return {}", "companies_of_items.py")
        text = f'name = "x"\n{SMALL}' + "".join(
            f'[[enrich]]\nuse = "companies_of_items:company"\n{name}' for name in ("", 'name = "again"\n')
        )
        with Executor() as executor:
            runner = build_runner(load_definition(write(text)), Stage.ENRICH, executor)
        assert [step.name for step in runner.steps] == ["company", "again"]

    def test_a_missing_module_is_reported_when_the_runner_is_built(self) -> None:
        with Executor() as executor, pytest.raises(InvalidDefinition, match="no module 'my_rules'"):
            build_runner(small(), Stage.CLASSIFY, executor)


UNSTORABLE = {
    "half a surrogate pair": {"classify": {"use": "keywords", "rules": [{"label": "x", "any": ["\ud800"]}]}},
    "a NUL": {"input": {"text": "a\x00"}},
    "an integer of more than 64 bits": {"enrich": [{"use": "language", "min_letters": 10**29}]},
    "an integer of thousands of digits": {"retry": {"max_attempts": 10**5_000}},
    "a NUL in a header": {"enrich": [{"use": "http", "url": "https://example.com/", "headers": {"X": "a\x00b"}}]},
    "two lines in a header": {
        "enrich": [{"use": "http", "url": "https://example.com/", "headers": {"X": "a\r\nb: c"}}]
    },
    "a folder that is a number": {"folder": 5},
    "a folder with a NUL": {"folder": "a\x00b"},
    "a folder whose name is no Unicode": {"folder": "caf\udce9"},
}


@pytest.mark.parametrize("tables", UNSTORABLE.values(), ids=UNSTORABLE)
def test_a_definition_that_cannot_be_stored_is_refused(tables: dict[str, Any]) -> None:
    classify = {"use": "keywords", "default": "other", "rules": [{"label": "x", "any": ["x"]}]}
    with pytest.raises(InvalidDefinition, match="^definition: ") as refused:
        Definition(**{"name": "d", "classify": classify, **tables})
    str(refused.value).encode()
