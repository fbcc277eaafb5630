"""With any arguments, a command works or says what is wrong; nothing that can be typed is a bug of pipeline."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import main
from pipeline.cli.reference import walk_commands
from pipeline.settings import Settings, variable
from tests.support.fuzz import HOSTILE_TEXTS, fuzzed
from tests.support.terminal import Terminal

COMMANDS = {name: command for name, command in walk_commands(main) if not isinstance(command, click.Group)}

#: What a command expects, by the names of its parameters, beside what it does not expect.
PLAUSIBLE = {
    "batch": ["last"],
    "source": ["items.jsonl", "-"],
    "data": ["items.jsonl"],
    "name": ["m-1", "last", "last-1"],
    "item": ["m-1", "last-2"],
    "items": ["m-2"],
    "definition": ["mail.toml", "mail"],
    "output": ["-", "out.jsonl", "out.csv.gz", "out.xlsx", "out.skops"],
    "rejects": ["rejects.jsonl"],
    "columns": ["key,label", "enrichment.x"],
    "origin": ["https://example.com"],
    "endpoint": ["https://example.com"],
    "url": ["https://127.0.0.1:9/"],
    "callback_url": ["https://example.com/x"],
    "label": ["id"],
    "text": ["text"],
    "key": ["id"],
    "before": ["1h", "2"],
    "since": ["1h"],
    "until": ["1m"],
    "headers": ["X-A=@HOME", "X-B"],
    "grace": ["1h"],
    "limit": ["1", "100000"],
    "weight": ["1000000"],
    "after": ["0", "https://example.com"],
    "idempotency_key": ["k"],
    "fair_key": ["tenant"],
    "encoding": ["cp1252"],
    "input_format": ["jsonl"],
}  # fmt: skip
#: These would serve until they are stopped.
ENDLESS = {"count", "port"}

hostile = st.sampled_from(HOSTILE_TEXTS) | st.text(st.characters(), max_size=20)
#: What an environment can hold.
storable = hostile.filter(lambda text: "\0" not in text and _is_encodable(text))
#: A URL of a real server or file would be used.
SETTINGS = [variable(name) for name in Settings.model_fields if name != "broker_url"]
environments = st.integers(0, 3).flatmap(
    lambda number: st.dictionaries(st.sampled_from(SETTINGS), storable, max_size=2 if number == 3 else 0)
)


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a command with arguments, most of which make sense: one that does not hides what follows."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    options, arguments = [], []
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Argument):
            if parameter.required or draw(st.booleans()):
                arguments.append(_value(draw, parameter))
        elif parameter.required or parameter.name == "port" or _one_in(draw, 8):
            # A port that cannot be: `serve` would go on until it is stopped.
            options += _option(draw, parameter)
    dashes = ["--"] if draw(st.booleans()) else []
    extra = [draw(hostile)] if _one_in(draw, 20) else []
    return [*name.split()[1:], *options, *dashes, *arguments, *extra]


def _one_in(draw: st.DrawFn, number: int) -> bool:
    # Not 0, which is what Hypothesis prefers.
    return draw(st.integers(0, number - 1)) == number - 1


def _value(draw: st.DrawFn, parameter: click.Parameter) -> str:
    if parameter.name in ENDLESS:
        return draw(st.sampled_from(["-1", "65536", "x"]))
    known = PLAUSIBLE.get(parameter.name or "", [])
    if isinstance(parameter.type, click.Choice):
        known = list(parameter.type.choices)
    return draw(st.sampled_from(known)) if known and not _one_in(draw, 5) else draw(hostile)


def _option(draw: st.DrawFn, parameter: click.Parameter) -> list[str]:
    assert isinstance(parameter, click.Option)
    flag = parameter.opts[-1]
    if parameter.is_flag:
        return [flag]
    value = _value(draw, parameter)
    return [flag, value] if draw(st.booleans()) else [f"{flag}={value}"]


@pytest.fixture
def folder(terminal: Terminal) -> Path:
    """A folder with a definition, items, and the database of a batch that is complete."""
    terminal.write_definition()
    terminal.write_items(["an invoice", "unknown"])
    assert terminal.run("run", "items.jsonl", "--idempotency-key", "k").exit_code == 1
    kept = terminal.folder / "kept"
    kept.mkdir()
    for name in ("pipeline.db", "mail.toml", "items.jsonl"):
        shutil.copy(name, kept)
    return terminal.folder


def restore(folder: Path) -> None:
    """Undo what the command before has changed."""
    for path in folder.iterdir():
        if path.name != "kept":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.copytree(folder / "kept", folder, dirs_exist_ok=True)


@fuzzed(100)
@given(words=command_lines(), env=environments, stdin=hostile)
def test_no_arguments_are_a_fault_of_pipeline(
    terminal: Terminal, folder: Path, words: list[str], env: dict[str, str], stdin: str
) -> None:
    restore(folder)
    result = run(terminal, words, env, stdin.encode(errors="surrogateescape" if _is_encodable(stdin) else "replace"))
    assert result.exit_code in (0, 1, 2, 3), (result.exit_code, words, env, result.output[-2000:])
    assert "Traceback" not in result.stderr
    if "--json" in words and result.exit_code in (2, 3) and not result.stdout:
        line = result.stderr.splitlines()[-1]
        assert {"code", "type", "message"} <= set(json.loads(line)["error"]), line


def run(terminal: Terminal, words: list[str], env: dict[str, str], stdin: bytes) -> Any:
    from click.testing import CliRunner

    return CliRunner().invoke(main, words, env=env, input=stdin, prog_name="pipeline")
