"""Each attempt at an item is a line, after its commit, and none of them says what must not be said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.telemetry import item_log
from tests.support.factories import connect, make_definition

CANARY = "canary-51c2"
#: Succeeds, dies or fails once by the text of an item; says the canary wherever a user's code may.
STEPS = f"""
from pipeline import Permanent

class CanaryError(Exception):
    pass

def classify(item):
    if item.text == "dies":
        raise Permanent("{CANARY}")
    if item.text == "fails" and item.attempt == 1:
        raise CanaryError("{CANARY}")
    return "{CANARY}"

def enrich(item):
    if item.text == "never":
        raise ValueError("{CANARY}")
    return {{"found": "{CANARY}"}}
"""
TEXTS = ["fine", "dies", "fails", "never"]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that lines are written to."""
    path = tmp_path / "attempts.log"
    monkeypatch.setattr(item_log, "open_target", lambda: os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    return path


def run(folder: Path, **settings: Any) -> pipeline.Batch:
    definition = make_definition(
        folder, STEPS, retry={"max_attempts": 2, "base_seconds": 0.01}, input={"text": "text", "key": "id"}
    )
    items = [{"text": text, "secret": CANARY, "id": f"{CANARY}-{text}"} for text in TEXTS]
    with connect(folder, **settings) as client:
        batch = client.submit(items, definition)
        batch.wait()
        return batch


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_attempt_is_a_line(tmp_path: Path, written: Path, caplog: pytest.LogCaptureFixture) -> None:
    batch = run(tmp_path, log_items="all", log_format="json")
    found: dict[str, list[tuple[str, int, str, str]]] = {}
    for line in lines(written):
        assert line["batch"] == batch.id
        assert line["duration_ms"] >= 0
        steps = found.setdefault(line["item"].rpartition("-")[2], [])
        steps.append((line["stage"], line["attempt"], line["outcome"], line["state"]))
    assert found["1"] == [("classify", 1, "succeeded", "running"), ("enrich", 1, "succeeded", "succeeded")]
    assert found["2"] == [("classify", 1, "dead", "dead")]
    assert found["3"][0] == ("classify", 1, "retry", "pending")
    assert [step[:3] for step in found["3"][1:]] == [("classify", 2, "succeeded"), ("enrich", 1, "succeeded")]
    assert [step[:3] for step in found["4"]] == [
        ("classify", 1, "succeeded"), ("enrich", 1, "retry"), ("enrich", 2, "dead")
    ]  # fmt: skip
    assert {line.get("error_type") for line in lines(written)} == {None, "Permanent", "CanaryError", "ValueError"}
    assert CANARY not in written.read_text(encoding="utf-8") + caplog.text


def test_only_dead_items_may_be_chosen(tmp_path: Path, written: Path) -> None:
    run(tmp_path, log_items="dead", log_format="ecs", log_keys=True)
    found = lines(written)
    assert sorted((line["event"]["outcome"], line["pipeline"]["key"]) for line in found) == [
        ("failure", f"{CANARY}-dies"), ("failure", f"{CANARY}-never")
    ]  # fmt: skip
    assert all(len(line["pipeline"]["cause"]) == 12 for line in found)


def test_nothing_is_written_by_default(tmp_path: Path, written: Path) -> None:
    run(tmp_path)
    assert not written.exists()
