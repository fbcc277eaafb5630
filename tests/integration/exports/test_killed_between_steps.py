"""An export that is killed at any step goes on with the next attempt, and writes each result once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.domain.item import ItemState
from pipeline.exports import complete as complete_module
from pipeline.exports import file_export, lease, write_parts
from pipeline.exports.run_exports import ExportRunner
from pipeline.exports.sql import exports, parts
from pipeline.exports.targets import folder, object_store
from tests.support.clock import Clock
from tests.support.collection import OBJECT_STORE
from tests.support.exporting import export_of, finish_items, parts_of, problems_of, start_batch, work
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.object_store import ObjectStore

LEASE = 31.0


class Killed(BaseException):
    """The end of the process: nothing catches it."""


#: Where it is killed: what is replaced, and whether that has happened by then.
STEPS: dict[str, tuple[Any, str, bool]] = {
    "before the plan": (exports, "move", False),
    "plan not committed": (parts, "add_planned", True),
    "planned": (write_parts, "_stage", False),
    "half written": (write_parts.StagedPart, "add", True),
    "written": (write_parts.StagedPart, "add", True),
    "before the put": ("store", "publish", False),
    "put, not marked": ("store", "publish", True),
    "mark not committed": (parts, "mark_stored", True),
    "before the manifest": ("store", "create", False),
    "manifest put": ("store", "create", True),
    "before the manifest is replaced": ("store", "replace", False),
    "manifest replaced": ("store", "replace", True),
    "completion not committed": (complete_module, "_emit", True),
    "completed": (complete_module, "complete", True),
}


_ON_STORE = [pytest.mark.servers, pytest.mark.xdist_group(OBJECT_STORE)]


@pytest.fixture(params=["folder", pytest.param("objects", marks=_ON_STORE)])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return f"{tmp_path}/?rows=3"
    store: ObjectStore = request.getfixturevalue("object_store")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return f"{store.place()}?rows=3"


@contextmanager
def killing(owner: Any, name: str, *, after: bool, at_call: int = 1) -> Iterator[None]:
    """Kill whoever calls a function, before or after it runs."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def step(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at_call and not after:
            raise Killed
        result = original(*given, **named)
        if calls == at_call and after:
            raise Killed
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, step)
        if name == "complete":
            patch.setattr(file_export, name, step)
        # The dead release nothing.
        patch.setattr(lease.exports, "release", lambda *_: None)
        yield


def attempt(context: Context) -> bool:
    """Let a process work until it is killed or has nothing left to do. Return whether it was killed."""
    runner = ExportRunner(context, batch_id=None, is_stopped=lambda: False)
    try:
        for _ in range(9):
            for export_id in runner.find_work():
                runner.run(export_id)
    except Killed:
        return True
    return False


@on_sqlite
@pytest.mark.parametrize("step", STEPS)
def test_what_a_killed_attempt_left_is_finished_by_the_next(
    context: Context, clock: Clock, target: str, step: str
) -> None:
    owner, name, after = STEPS[step]
    if owner == "store":
        owner = folder.Folder if target.startswith("/") else object_store.ObjectFolder
    batch = start_batch(context, 7, target)
    finish_items(context, batch, range(1, 7))
    finish_items(context, batch, [7], state="dead")
    if name == "replace":
        # Only the second completion replaces a manifest.
        work(context)
        replay(context, batch)
    with killing(owner, name, after=after, at_call=2 if step == "half written" else 1):
        assert attempt(context)
    assert not attempt(context)
    if step != "completed":
        assert export_of(context, batch)["state"] == "running"
    clock.forward(LEASE)
    assert not attempt(context)
    export = export_of(context, batch)
    assert (export["state"], export["last_error"], export["lease_until"]) == ("complete", None, None)
    assert problems_of(context, batch) == []
    assert export["rows"] == (8 if name == "replace" else 7)


@on_sqlite
@pytest.mark.parametrize("step", ["put, not marked", "manifest put", "completion not committed"])
def test_a_replay_between_a_kill_and_the_next_attempt_loses_nothing(
    context: Context, clock: Clock, tmp_path: Path, step: str
) -> None:
    owner, name, after = STEPS[step]
    batch = start_batch(context, 4, f"{tmp_path}/?rows=3")
    finish_items(context, batch, range(1, 4))
    finish_items(context, batch, [4], state="dead")
    with killing(folder.Folder if owner == "store" else owner, name, after=after):
        assert attempt(context)
    replay(context, batch, 4)
    clock.forward(LEASE)
    assert not attempt(context)
    export = export_of(context, batch)
    assert (export["state"], export["rows"]) == ("complete", 5)
    assert problems_of(context, batch) == []


@on_sqlite
def test_a_partition_that_is_stored_is_not_written_again(context: Context, clock: Clock, tmp_path: Path) -> None:
    batch = start_batch(context, 4, f"{tmp_path}/?partition=label")
    for position, label in enumerate("abcd", 1):
        finish_items(context, batch, [position], label=label)
    with killing(folder.Folder, "publish", after=True, at_call=3):
        assert attempt(context)
    assert [part["state"] for part in parts_of(context, batch)] == ["stored", "stored", "planned", "planned"]
    before = {path: path.stat().st_ino for path in tmp_path.rglob("part-*")}
    clock.forward(LEASE)
    assert not attempt(context)
    assert before.items() <= {path: path.stat().st_ino for path in tmp_path.rglob("part-*")}.items()
    assert problems_of(context, batch) == []


def test_the_loser_of_a_lease_changes_nothing(context: Context, clock: Clock, tmp_path: Path) -> None:
    """One process stops between the put and the mark; another takes over and completes; then the first wakes up."""
    batch = start_batch(context, 7, f"{tmp_path}/?rows=3")
    finish_items(context, batch, range(1, 8))
    runner = ExportRunner(context, batch_id=None, is_stopped=lambda: False)
    original = folder.Folder.publish

    def publish(self: Any, *given: Any) -> Any:
        stored = original(self, *given)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(folder.Folder, "publish", original)
            clock.forward(LEASE)
            work(replace(context, worker="another.1.x@elsewhere"))
        return stored

    (export_id,) = runner.find_work()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder.Folder, "publish", publish)
        runner.run(export_id)
    export = export_of(context, batch)
    assert (export["state"], export["rows"], export["parts"], export["completions"]) == ("complete", 7, 3, 1)
    assert problems_of(context, batch) == []


def replay(context: Context, batch: int, position: int = 7) -> None:
    with context.database.write() as connection:
        batches.reopen(connection, batch, 1, ItemState.DEAD)
    finish_items(context, batch, [position])
