"""The tutorial is followed from its first file to its last command, as a reader does it."""

from __future__ import annotations

import json
import os
import re  # noqa: TID251 - constant patterns
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import Desk, blocks, commands, reader_environment
from tests.support.receivers.owed import wait_until
from tests.support.servers.warm_process import start_python

PAGE = "docs/tutorial.md"


@pytest.mark.slow
def test_the_tutorial_leads_where_it_says(tmp_path: Path) -> None:
    desk = Desk(tmp_path, reader_environment())
    items, expected = (block.text for block in blocks(PAGE) if block.language == "jsonl")
    first, repaired = (block.text for block in blocks(PAGE) if block.file == "my_classifier.py")
    typed = iter(line for lines in commands(PAGE) for line in lines)
    assert [next(typed), next(typed)] == ["make demo", ". .venv/bin/activate"]
    desk.save(PAGE)
    desk.write("leads.jsonl", items)

    desk.write("my_classifier.py", first)
    desk.type(next(typed), expected=1)
    results = _results(desk)
    for line in map(json.loads, expected.splitlines()):
        assert line.items() <= results[line["key"]].items()

    assert "the message is empty" in desk.type(next(typed)).stdout
    assert "the message is empty" in desk.type(next(typed)).stdout
    desk.write("my_classifier.py", repaired)
    desk.type(next(typed))
    desk.type(next(typed))
    assert _results(desk)["L-4"]["label"] == "cold"
    assert len(desk.read("results.jsonl").splitlines()) == 5

    make, redirected = next(typed).split(" > ")
    desk.write(redirected, desk.type(make).stdout)
    assert next(typed) == f"export PIPELINE_WEBHOOK_SECRET=$(cat {redirected})"
    desk.environment["PIPELINE_WEBHOOK_SECRET"] = desk.read(redirected).strip()
    with _listening(desk, next(typed)) as (url, arrived):
        name, _, value = next(typed).removeprefix("export ").partition("=")
        desk.type(next(typed).replace("http://127.0.0.1:8080/", url), **{name: value})
    kinds = [re.findall(r"item\.completed|batch\.completed", line)[0] for line in arrived]
    assert sorted(kinds) == ["batch.completed", *["item.completed"] * 4]
    assert desk.type(next(typed)).stdout.count("delivered") >= 5
    assert list(typed) == []

    (printed,) = (block.text for block in blocks(PAGE) if block.language == "text")
    for _ in range(2):
        shown = desk.python("submit_leads.py").stdout
        assert sorted(shown.splitlines()) == sorted(printed.splitlines())


def _results(desk: Desk) -> dict[str, dict[str, Any]]:
    """Return the last line of each key."""
    return {result["key"]: result for result in map(json.loads, desk.read("results.jsonl").splitlines())}


@contextmanager
def _listening(desk: Desk, line: str) -> Iterator[tuple[str, list[str]]]:
    """Run the receiver in a second terminal, at a free port; the list holds what it has printed once it has ended."""
    assert line == "pipeline listen 8080"
    arrived: list[str] = []
    command = ["-m", "pipeline", "listen", "0", "--count", "5"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start_python(command, cwd=desk.folder, env=desk.environment, text=True, **pipes) as program:
        try:
            os.set_blocking(program.stderr.fileno(), False)
            said: list[str] = []
            wait_until(lambda: said.append(program.stderr.readline()) or bool(re.search("http://", said[-1])))
            yield re.search(r"http://\S+", said[-1])[0], arrived  # type: ignore[index]
            arrived += program.stdout.readlines()
        finally:
            program.kill()
