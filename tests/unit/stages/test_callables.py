"""The user's own classifiers and enrichers: found, checked, and called in the right mode."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog.batched import batched, get_max_items
from pipeline.stages.catalog.callables import Classifier, build, is_callable_name
from pipeline.stages.catalog.step import Mode, Step

Write = Callable[[str], str]
NUMBERS = count()


@pytest.fixture(autouse=True)
def _import_state() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a module with a unique name and return the name."""

    def write_module(text: str) -> str:
        name = f"written_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write_module


def build_step(use: str, folder: Path) -> Step:
    return build(Classifier(use=use, timeout_seconds=2), folder)


def error_message(use: str, folder: Path) -> str:
    with pytest.raises(InvalidDefinition) as caught:
        build_step(use, folder)
    return str(caught.value)


class TestModes:
    SOURCE = """
import functools
from pipeline import batched

def plain(item): return "a"
async def coroutine(item): return "a"
class Plain:
    def __call__(self, item): return "a"
    def method(self, item): return "a"
    async def coroutine(self, item): return "a"
class Coroutine:
    async def __call__(self, item): return "a"
plain_object, coroutine_object = Plain(), Coroutine()
def two(extra, item): return "a"
async def two_coroutine(extra, item): return "a"
partial, partial_coroutine = functools.partial(two, 1), functools.partial(two_coroutine, 1)
partial_object = functools.partial(coroutine_object)
@batched(max_items=7)
def many(items): return ["a"] * len(items)
@batched()
async def many_coroutine(items): return ["a"] * len(items)
class Many:
    @batched(max_items=3)
    def __call__(self, items): return []
many_object = Many()
partial_many = functools.partial(many)
"""

    @pytest.mark.parametrize(
        ("name", "mode"),
        [
            ("plain", Mode.THREAD),
            ("coroutine", Mode.ASYNC),
            ("plain_object", Mode.THREAD),
            ("plain_object.method", Mode.THREAD),
            ("plain_object.coroutine", Mode.ASYNC),
            ("coroutine_object", Mode.ASYNC),
            ("partial", Mode.THREAD),
            ("partial_coroutine", Mode.ASYNC),
            ("partial_object", Mode.ASYNC),
        ],
    )
    def test_coroutine_functions_run_on_the_loop_and_others_in_threads(
        self, tmp_path: Path, write: Write, name: str, mode: Mode
    ) -> None:
        step = build_step(f"{write(self.SOURCE)}:{name}", tmp_path)
        assert (step.mode, step.is_batched, step.timeout_seconds) == (mode, False, 2)
        assert step.name == name.rpartition(".")[2]

    @pytest.mark.parametrize(
        ("name", "mode", "limit"),
        [
            ("many", Mode.THREAD, 7),
            ("many_coroutine", Mode.ASYNC, 64),
            ("many_object", Mode.THREAD, 3),
            ("partial_many", Mode.THREAD, 7),
        ],
    )
    def test_batched_callables_take_lists(
        self, tmp_path: Path, write: Write, name: str, mode: Mode, limit: int
    ) -> None:
        step = build_step(f"{write(self.SOURCE)}:{name}", tmp_path)
        assert (step.mode, step.is_batched, step.max_items) == (mode, True, limit)


class TestModuleLookup:
    def test_a_module_in_the_definitions_folder_is_found_and_may_import_its_neighbours(
        self, tmp_path: Path, write: Write
    ) -> None:
        neighbour = write("LABEL = 'near'")
        name = write(f"def classify(item):\n    import {neighbour}\n    return {neighbour}.LABEL")
        assert build_step(f"{name}:classify", tmp_path).call(None) == "near"

    def test_a_module_in_the_current_directory_is_found(
        self, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = write("def classify(item): return 'here'")
        elsewhere = tmp_path / "definitions"
        elsewhere.mkdir()
        monkeypatch.chdir(tmp_path)
        assert build_step(f"{name}:classify", elsewhere).call(None) == "here"

    def test_a_module_in_a_package_is_found(self, tmp_path: Path) -> None:
        package = tmp_path / "written_package"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "inner.py").write_text("def classify(item): return 'inner'")
        assert build_step("written_package.inner:classify", tmp_path).call(None) == "inner"

    def test_the_folder_comes_after_the_installed_packages(self, tmp_path: Path, write: Write) -> None:
        before = list(sys.path)
        build_step(f"{write('def f(item): ...')}:f", tmp_path)
        assert sys.path[: len(before)] == before
        assert str(tmp_path) in sys.path[len(before) :]

    @pytest.mark.parametrize("name", ["json", "wave", "sys"])
    def test_a_module_that_the_standard_library_shadows_is_rejected(self, tmp_path: Path, name: str) -> None:
        (tmp_path / f"{name}.py").write_text("def classify(item): return 'mine'")
        message = error_message(f"{name}:classify", tmp_path)
        assert str(tmp_path / f"{name}.py") in message
        assert "rename" in message

    def test_modules_with_the_same_name_in_two_folders_are_not_confused(self, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "written_twice.py").write_text(f"def classify(item): return {folder!r}")
        assert build_step("written_twice:classify", tmp_path / "a").call(None) == "a"
        message = error_message("written_twice:classify", tmp_path / "b")
        assert str(tmp_path / "a" / "written_twice.py") in message
        assert "rename" in message


class TestErrors:
    def test_a_missing_module_is_named_with_a_suggestion(self, tmp_path: Path) -> None:
        (tmp_path / "my_classifier.py").write_text("")
        message = error_message("my_clasifier:classify", tmp_path)
        assert "no module 'my_clasifier'" in message
        assert str(tmp_path) in message
        assert "did you mean 'my_classifier'?" in message

    def test_a_missing_function_is_named_with_a_suggestion(self, tmp_path: Path, write: Write) -> None:
        name = write("def classify(item): ...")
        message = error_message(f"{name}:clasify", tmp_path)
        assert "has no 'clasify'; did you mean 'classify'?" in message
        assert f"{name}.py" in message

    def test_a_module_that_raises_is_reported_with_type_message_and_line(self, tmp_path: Path, write: Write) -> None:
        name = write("def fail():\n    raise OSError('no model')\n\nfail()\n")
        message = error_message(f"{name}:classify", tmp_path)
        assert "OSError: no model" in message
        assert f"{name}.py, line 2" in message

    def test_a_missing_dependency_of_a_module_is_not_reported_as_a_missing_module(
        self, tmp_path: Path, write: Write
    ) -> None:
        name = write("\nimport not_installed_anywhere")
        message = error_message(f"{name}:classify", tmp_path)
        assert "ModuleNotFoundError: No module named 'not_installed_anywhere'" in message
        assert f"{name}.py, line 2" in message

    def test_a_syntax_error_is_reported_with_its_line(self, tmp_path: Path, write: Write) -> None:
        name = write("x = 1\ny = = 2\n")
        message = error_message(f"{name}:classify", tmp_path)
        assert "SyntaxError" in message
        assert f"{name}.py, line 2" in message

    def test_a_module_that_exits_does_not_end_the_process(self, tmp_path: Path, write: Write) -> None:
        assert "SystemExit: 3" in error_message(f"{write('raise SystemExit(3)')}:classify", tmp_path)

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("classify = 7", "of type int, which is not callable"),
            ("class classify: ...", "is a class; name a function or an instance of the class"),
            ("def classify(): ...", "must accept one argument, the item: too many positional arguments"),
            ("def classify(item, model): ...", "must accept one argument, the item: missing a required argument"),
        ],
    )
    def test_a_target_that_cannot_be_called_with_an_item_is_rejected(
        self, tmp_path: Path, write: Write, source: str, expected: str
    ) -> None:
        assert expected in error_message(f"{write(source)}:classify", tmp_path)


class TestNames:
    @pytest.mark.parametrize("use", ["m:f", "a.b:c.d", "_m:_f"])
    def test_module_and_callable_are_separated_by_a_colon(self, use: str) -> None:
        assert is_callable_name(use)

    @pytest.mark.parametrize("use", ["", ":", "m", "m:", ":f", "m.f", "a b:c", "m:f:g", "../m:f", "m:f()"])
    def test_any_other_text_is_not_the_name_of_a_callable(self, use: str) -> None:
        assert not is_callable_name(use)


class TestBatched:
    @pytest.mark.parametrize("limit", [0, -1, 10_001, True, 2.5, "7"])
    def test_an_invalid_limit_is_rejected(self, limit: object) -> None:
        with pytest.raises(ValueError, match="max_items must be a whole number from 1 to 10000"):
            batched(limit)  # type: ignore[arg-type]

    def test_the_decorator_needs_parentheses(self) -> None:
        with pytest.raises(TypeError, match="with parentheses"):
            batched(lambda items: items)  # type: ignore[arg-type]

    def test_the_decorator_returns_the_function_itself(self) -> None:
        def many(items: list[object]) -> list[object]:
            return items

        assert batched(max_items=5)(many) is many
        assert get_max_items(many) == 5
        assert get_max_items(functools.cache(lambda item: item)) is None


@pytest.mark.parametrize("error", [RuntimeError("dictionary changed size during iteration"), KeyError("a folder")])
def test_a_table_that_another_thread_changes_meanwhile_is_walked_again(
    error: Exception, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        calls = 0

        def find_spec(self, *_: object) -> None:
            return None

        def invalidate_caches(self) -> None:
            self.calls += 1
            if self.calls == 1:
                raise error

    monkeypatch.setattr(sys, "meta_path", [Busy(), *sys.meta_path])
    name = write("def classify(item): return 'a'")
    build_step(f"{name}:classify", tmp_path)
    assert sys.meta_path[0].calls == 2  # type: ignore[attr-defined]
