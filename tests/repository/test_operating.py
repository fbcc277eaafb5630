"""The documents explain every event that is logged, with its level, and every state that Flower shows."""

from __future__ import annotations

import ast
import re  # noqa: TID251 - constant patterns
from collections.abc import Iterator

from pipeline.telemetry.log_fields import EVENTS as FIELDS_OF
from tests.support.paths import ROOT

EVENTS = (ROOT / "docs" / "reference" / "log-events.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "how-to" / "operations.md").read_text(encoding="utf-8")
#: Written past `Logger`, see pipeline/telemetry/item_log.py.
WRITTEN_DIRECTLY = {"item_attempt": "info"}
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
    assert dict(documented) == dict(logged()) | WRITTEN_DIRECTLY
    assert len({*logged(), *WRITTEN_DIRECTLY.items()}) == len(documented), "one event, one level"


def test_the_fields_of_every_event_are_documented() -> None:
    documented = re.findall(r"^\| `([a-z_]+)` \| \w+ \| ([^|]*) \|", EVENTS, re.MULTILINE)
    shown = {event: tuple(re.findall(r"`(\w+)`", fields)) for event, fields in documented}
    assert shown == dict(FIELDS_OF)


def test_no_event_is_logged_with_a_field_that_it_does_not_have() -> None:
    for module in [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                is_failure = ast.unparse(node.func) == "log_failure"
                if is_failure or ast.unparse(node.func).rpartition(".")[0] in ("log", "_log"):
                    name = node.args[is_failure]
                    assert isinstance(name, ast.Constant)
                    named = {keyword.arg for keyword in node.keywords if keyword.arg}
                    assert named <= set(FIELDS_OF[name.value]), f"{name.value}: see pipeline/telemetry/log_fields.py"


def test_every_state_that_flower_shows_is_explained() -> None:
    documented = re.findall(r"^\| ([A-Z]+) \|", OPERATIONS, re.MULTILINE)
    assert documented == ["RECEIVED", "STARTED", "SUCCESS", "RETRY", "FAILURE"]
