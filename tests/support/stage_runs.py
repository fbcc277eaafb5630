"""Runs the steps of a stage in tests, and collects the items they emit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipeline.domain.item import Stage, WorkItem
from pipeline.domain.outcome import Failure, Outcome
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner

#: Seconds after which a wait fails the test; nothing normally takes this long.
WAIT_SECONDS = 20


class Emitted:
    """Collects the items that a run emits, and waits for them."""

    def __init__(self) -> None:
        self.groups: list[list[tuple[WorkItem, Outcome]]] = []
        self._changed = threading.Condition()

    def __call__(self, group: list[tuple[WorkItem, Outcome]]) -> None:
        with self._changed:
            self.groups.append(group)
            self._changed.notify_all()

    @property
    def ids(self) -> list[int]:
        return [item.payload["n"] for group in self.groups for item, _ in group]

    @property
    def outcomes(self) -> dict[int, Outcome]:
        return {item.payload["n"]: outcome for group in self.groups for item, outcome in group}

    def wait(self, count: int) -> dict[int, Outcome]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ids) >= count, WAIT_SECONDS), f"{len(self.ids)} of {count}"
        return self.outcomes


def make_items(count: int) -> list[WorkItem]:
    return [WorkItem(f"b-{n}", "b", {"n": n}, f"text {n}") for n in range(1, count + 1)]


def make_step(call: Callable[[Any], Any], mode: Mode = Mode.INLINE, **options: Any) -> Step:
    return Step(options.pop("name", "step"), call, mode, **options)


def classify(executor: Executor, step: Step, items: Sequence[WorkItem], **options: Any) -> dict[int, Outcome]:
    emitted = Emitted()
    StageRunner(Stage.CLASSIFY, [step], executor, **options).run(items, emitted)
    return emitted.wait(len(items))


def enrich(executor: Executor, steps: Sequence[Step], items: Sequence[WorkItem]) -> dict[int, Outcome]:
    emitted = Emitted()
    StageRunner(Stage.ENRICH, steps, executor).run(items, emitted)
    return emitted.wait(len(items))


def failure_of(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Failure)
    return outcome


def asynchronous(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def answer(argument: Any) -> Any:
        return call(argument)

    return answer


def in_mode(call: Callable[[Any], Any], mode: Mode, **options: Any) -> Step:
    return make_step(asynchronous(call) if mode is Mode.ASYNC else call, mode, **options)


EVERY_MODE = pytest.mark.parametrize("mode", list(Mode))
USER_MODES = pytest.mark.parametrize("mode", [Mode.THREAD, Mode.ASYNC])
