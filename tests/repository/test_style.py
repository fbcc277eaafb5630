"""Budgets of size, and what tests and tracked files may not contain."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MODULES = sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "workers").rglob("*.py"), ROOT / "celeryconfig.py"])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FOLDERS = ("pipeline", "workers", "migrations", "tests", "docs", "examples", "benchmarks", ".ci", ".github")
FILES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "Makefile",
    "pyproject.toml",
    "celeryconfig.py",
    "Dockerfile",
    ".dockerignore",
    "docker-compose.yml",
)

MOCKS = ("unittest.mock", "mock.", "Mock", "MagicMock", "AsyncMock", "mocker")

Function = ast.FunctionDef | ast.AsyncFunctionDef

MAX_MODULE_LINES, MAX_FUNCTION_LINES, MAX_FOLDER_MODULES = 400, 50, 25


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> Iterator[Path]:
    yield from (ROOT / name for name in FILES)
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def test_modules_functions_and_folders_stay_small() -> None:
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    # One list of tables.
    del sizes["pipeline/database/tables.py"]
    assert {name: lines for name, lines in sizes.items() if lines > MAX_MODULE_LINES} == {}
    functions = {f"{name_of(path)}:{node.name}": lines_of(node) for path in MODULES for node in functions_of(path)}
    assert {name: lines for name, lines in functions.items() if lines > MAX_FUNCTION_LINES} == {}
    folders = Counter(name_of(path.parent) for path in MODULES)
    assert {name: modules for name, modules in folders.items() if modules > MAX_FOLDER_MODULES} == {}


def test_no_module_is_called_by_what_it_is_not() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [name_of(path) for path in MODULES if vague & {*path.parts, path.stem}] == []


def test_no_public_class_name_is_used_twice() -> None:
    # Each built-in classifier and enricher has a `Spec`: the registry finds it by that name.
    names = Counter(node.name for path in MODULES for node in classes_of(path) if node.name[0] != "_")
    assert {name: uses for name, uses in names.items() if uses > 1 and name != "Spec"} == {}


def test_only_the_dialect_tells_the_databases_apart() -> None:
    # The engine chooses a backend and the type of instants a format; a deployment differs in who migrates it.
    allowed = {
        f"pipeline/{name}.py"
        for name in ("database/dialect", "database/engine", "database/instant", "bootstrap", "cli/checks/database")
    }
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in MODULES}
    telling = {name for name, text in texts.items() if "is_sqlite" in text or "dialect.name" in text}
    assert telling == allowed


@pytest.mark.parametrize("module", TESTS, ids=name_of)
def test_tests_wait_on_facts_and_use_real_parts(module: Path) -> None:
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    names = {ast.unparse(node) for node in nodes if isinstance(node, ast.Name | ast.Attribute)}
    names |= {
        f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    names |= {node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg}
    assert "time.sleep" not in names, "wait on an event, a row or a thread instead"
    assert not {name for name in names if name.startswith(MOCKS)}, "use the real thing, or a stand-in that works"
    assert not {name for name in names if name.endswith("task_always_eager")}, "start a worker"


def test_no_file_names_a_package_registry_or_a_place_on_someones_machine() -> None:
    # In pieces, since this file is among those that are read.
    words = ("pypi" + ".org", "python" + "hosted", "npm" + "js.com", "/ro" + "ot/", "/ho" + "me/")
    texts = {name_of(path): path.read_text(encoding="utf-8", errors="replace") for path in tracked()}
    assert {name: word for name, text in texts.items() for word in words if word in text} == {}


def functions_of(path: Path) -> Iterator[Function]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return (node for node in nodes if isinstance(node, Function))


def classes_of(path: Path) -> Iterator[ast.ClassDef]:
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    return (node for node in nodes if isinstance(node, ast.ClassDef))


def lines_of(function: Function) -> int:
    """Lines of a body, its docstring left out."""
    has_docstring = ast.get_docstring(function) is not None and len(function.body) > 1
    return (function.end_lineno or 0) - function.body[1 if has_docstring else 0].lineno + 1
