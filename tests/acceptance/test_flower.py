"""Flower shows what workers really do: a worker and Flower as processes, on a Redis of the tests' own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.flower import Flower, flower
from tests.support.servers.redis import Redis
from tests.support.terminal import Terminal

#: Fails once where the text says so, and for good where it says that.
CALLABLES = """
from pipeline import Permanent, Transient

def classify(item):
    if item.text == "again" and item.attempt == 1:
        raise Transient("the model is loading")
    if item.text == "never":
        raise Permanent("no label for this")
    return "done"

def length(item):
    return {"characters": len(item.text)}
"""

DEFINITION = """
name = "watched"
[classify]
use = "watched_callables:classify"
[[enrich]]
use = "watched_callables:length"
[retry]
base_seconds = 0.01
"""

SECRET_TEXT = "a text that concerns nobody else"


@pytest.fixture
def terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, redis: Redis, sqlite_url: str) -> Terminal:
    """A folder with a definition; commands use the tests' Redis, emptied."""
    redis.clear()
    monkeypatch.setenv("PIPELINE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("PIPELINE_BROKER_URL", redis.url)
    terminal.write("watched.toml", DEFINITION)
    terminal.write("watched_callables.py", CALLABLES)
    return terminal


@pytest.fixture
def worker(terminal: Terminal) -> Iterator[subprocess.Popen[bytes]]:
    process = terminal.start_python("-m", "celery", "-A", "workers.app", "worker", "-E", "-n", "ada@here")
    yield process
    process.kill()
    process.communicate()


def tasks_of(running: Flower, item: str) -> dict[str, dict[str, Any]]:
    """The tasks of an item, by stage and release."""
    tasks = running.get("/api/tasks").json()
    return {task_id.removeprefix(f"{item}-"): tasks[task_id] for task_id in tasks if task_id.startswith(f"{item}-")}


def test_every_item_is_seen_at_each_stage_with_its_end_and_without_its_text(
    terminal: Terminal, redis: Redis, worker: subprocess.Popen[bytes]
) -> None:
    with flower(terminal, redis.url) as running:
        # It hears of the worker by events, as of everything else.
        running.wait_until(lambda: running.get("/api/workers?status=1").json().get("ada@here"))
        items = terminal.write_items(["x", "again", "never", SECRET_TEXT, "y"])
        submitting = terminal.start("submit", str(items), "-p", "watched.toml", "--watch")
        batch = submitting.communicate(timeout=60)[0].decode().strip()
        assert submitting.returncode == 1, "one item is dead"
        running.wait_until(lambda: len(running.get("/api/tasks?taskname=items.enrich&state=SUCCESS").json()) == 4)
        # The event of a stage's end may come after those of the next stage, which another thread sends.
        running.wait_until(lambda: running.get("/api/tasks?taskname=items.classify&state=STARTED").json() == {})

        for position in (1, 4, 5):
            tasks = tasks_of(running, f"{batch}-{position}")
            assert {name: task["state"] for name, task in tasks.items()} == {
                "classify-1": "SUCCESS",
                "enrich-1": "SUCCESS",
            }
        again = tasks_of(running, f"{batch}-2")
        assert {name: task["state"] for name, task in again.items()} == {
            "classify-1": "RETRY",
            "classify-2": "SUCCESS",
            "enrich-2": "SUCCESS",
        }
        assert "Transient" in again["classify-1"]["exception"]
        never = tasks_of(running, f"{batch}-3")
        assert {name: task["state"] for name, task in never.items()} == {"classify-1": "FAILURE"}
        assert "Permanent" in never["classify-1"]["exception"]

        everything = running.get("/api/tasks").body
        assert SECRET_TEXT not in everything
        for task_id, task in running.get("/api/tasks").json().items():
            if task["name"] in ("items.classify", "items.enrich"):
                assert task["name"] == f"items.{task_id.split('-')[2]}"
                item, epoch = task["args"].strip("()").split(", ")
                assert item.isdigit()
                assert epoch == task_id.rpartition("-")[2]
                assert task["worker"] == "ada@here"
                assert task["runtime"] is not None or task["state"] != "SUCCESS"
        assert running.queues() == {"classify": 0, "enrich": 0, "deliver": 0, "control": 0}


def test_items_can_be_left_out(
    terminal: Terminal, redis: Redis, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("PIPELINE_TASK_EVENTS", "false")
    request.getfixturevalue("worker")
    with flower(terminal, redis.url, "--allow-control") as running:

        def hears_of_other_tasks() -> bool:
            running.post("/api/task/send-task/control.dispatch")
            return "control.dispatch" in running.get("/api/tasks").body

        running.wait_until(hears_of_other_tasks)
        submitting = terminal.start("submit", str(terminal.write_items(["x", "y"])), "-p", "watched.toml", "--watch")
        submitting.communicate(timeout=60)
        assert submitting.returncode == 0
        last = running.post("/api/task/send-task/control.dispatch").json()["task-id"]
        # Events come in order: those of the items would be here by now.
        running.wait_until(lambda: last in running.get("/api/tasks").json())
        assert "items." not in running.get("/api/tasks").body
