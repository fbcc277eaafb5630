"""The documents explain every event that is logged, with its level, and every state that Flower shows."""

from __future__ import annotations

import ast
import re  # noqa: TID251 - constant patterns
from collections.abc import Iterator

from tests.support.paths import ROOT

EVENTS = (ROOT / "docs" / "reference" / "log-events.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "how-to" / "operations.md").read_text(encoding="utf-8")
LEVELS = {"exception": "error", "error": "error", "warning": "warning", "info": "info", "debug": "debug"}


def logged() -> Iterator[tuple[str, str]]:
    """Yield name and level of each event that a module logs."""
    for module in [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[0] in ("log", "_log"):
                name, level = node.args[0], ast.unparse(node.func).rpartition(".")[2]
                assert isinstance(name, ast.Constant), f"{module}:{node.lineno}: the name of an event is constant"
                yield name.value, LEVELS[level]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "log_failure":
                name = node.args[1]
                assert isinstance(name, ast.Constant), f"{module}:{node.lineno}: the name of an event is constant"
                yield name.value, "error"


def test_every_event_of_the_log_is_explained_with_its_level() -> None:
    documented = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", EVENTS, re.MULTILINE)
    assert documented == sorted(documented)
    assert dict(documented) == dict(logged())
    assert len(set(logged())) == len(documented), "one event, one level"


def test_every_state_that_flower_shows_is_explained() -> None:
    documented = re.findall(r"^\| ([A-Z]+) \|", OPERATIONS, re.MULTILINE)
    assert documented == ["RECEIVED", "STARTED", "SUCCESS", "RETRY", "FAILURE"]
