"""No item waits for another, and a bad item fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.domain.item import Classification, Enrichment, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind
from pipeline.errors import Permanent
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner
from tests.support.stage_runs import (
    EVERY_MODE,
    USER_MODES,
    WAIT_SECONDS,
    Emitted,
    classify,
    enrich,
    failure_of,
    in_mode,
    make_items,
    make_step,
)


class TestIndependence:
    def test_a_plain_function_that_waits_does_not_delay_199_others(self, executor: Executor) -> None:
        go = threading.Event()

        def call(item: WorkItem) -> str:
            if item.payload["n"] == 7:
                assert go.wait(WAIT_SECONDS)
            return "a"

        self._check_others_finish_first(executor, make_step(call, Mode.THREAD), go.set)

    def test_a_coroutine_that_waits_does_not_delay_199_others(self, executor: Executor) -> None:
        go = threading.Event()

        async def call(item: WorkItem) -> str:
            if item.payload["n"] == 7:
                await asyncio.to_thread(go.wait, WAIT_SECONDS)
            return "a"

        self._check_others_finish_first(executor, make_step(call, Mode.ASYNC), go.set)

    def _check_others_finish_first(self, executor: Executor, step: Step, release: Callable[[], None]) -> None:
        emitted = Emitted()
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(200), emitted)
        others = emitted.wait(199)
        assert 7 not in others
        release()
        emitted.wait(200)
        assert sorted(emitted.ids) == list(range(1, 201))

    def test_an_item_that_waits_in_one_enricher_does_not_delay_the_enrichers_of_others(
        self, executor: Executor
    ) -> None:
        go = threading.Event()

        def slow(item: WorkItem) -> dict[str, Any]:
            if item.payload["n"] == 1:
                assert go.wait(WAIT_SECONDS)
            return {"slow": item.payload["n"]}

        async def quick(item: WorkItem) -> dict[str, Any]:
            return {"quick": item.payload["n"]}

        steps = [
            make_step(slow, Mode.THREAD, name="slow"),
            make_step(quick, Mode.ASYNC, name="quick"),
            make_step(lambda item: {}, name="inline"),
        ]
        emitted = Emitted()
        StageRunner(Stage.ENRICH, steps, executor).run(make_items(20), emitted)
        assert 1 not in emitted.wait(19)
        go.set()
        assert emitted.wait(20)[1] == Enrichment({"slow": {"slow": 1}, "quick": {"quick": 1}, "inline": {}})

    def test_the_enrichers_of_an_item_run_concurrently(self, executor: Executor) -> None:
        meeting = threading.Barrier(2, timeout=WAIT_SECONDS)

        def call(item: WorkItem) -> dict[str, Any]:
            meeting.wait()
            return {}

        steps = [make_step(call, Mode.THREAD, name="a"), make_step(call, Mode.THREAD, name="b")]
        assert enrich(executor, steps, make_items(1)) == {1: Enrichment({"a": {}, "b": {}})}

    def test_run_returns_while_calls_are_running(self, executor: Executor) -> None:
        go = threading.Event()
        emitted = Emitted()
        runner = StageRunner(
            Stage.CLASSIFY, [make_step(lambda _: go.wait(WAIT_SECONDS) and "a", Mode.THREAD)], executor
        )
        runner.run(make_items(3), emitted)
        assert emitted.groups == []
        go.set()
        emitted.wait(3)

    @USER_MODES
    def test_at_most_max_concurrency_calls_run_concurrently(self, executor: Executor, mode: Mode) -> None:
        lock, running, peak = threading.Lock(), 0, 0

        def count(change: int) -> None:
            nonlocal running, peak
            with lock:
                running += change
                peak = max(peak, running)

        async def on_loop(item: WorkItem) -> str:
            count(1)
            await asyncio.sleep(0)
            count(-1)
            return "a"

        def in_thread(item: WorkItem) -> str:
            count(1)
            count(-1)
            return "a"

        step = make_step(on_loop if mode is Mode.ASYNC else in_thread, mode, max_concurrency=3)
        classify(executor, step, make_items(50))
        assert 1 <= peak <= 3


class TestBadItems:
    @EVERY_MODE
    def test_an_exception_in_a_list_call_fails_only_the_item_that_raises(self, executor: Executor, mode: Mode) -> None:
        def call(items: list[WorkItem]) -> list[str]:
            if any(item.payload["n"] == 3 for item in items):
                raise ValueError("three")
            return ["a"] * len(items)

        outcomes = classify(executor, in_mode(call, mode, is_batched=True), make_items(5))
        assert outcomes.pop(3) == Failure(FailureKind.TRANSIENT, "ValueError", "three")
        assert set(outcomes.values()) == {Classification("a")}

    @EVERY_MODE
    def test_an_exception_object_among_the_answers_fails_its_item_without_another_call(
        self, executor: Executor, mode: Mode
    ) -> None:
        calls: list[int] = []

        def call(items: list[WorkItem]) -> list[object]:
            calls.append(len(items))
            return ["a", Permanent("no"), "a"]

        outcomes = classify(executor, in_mode(call, mode, is_batched=True), make_items(3))
        assert outcomes[2] == Failure(FailureKind.PERMANENT, "Permanent", "no")
        assert calls == [3]

    @EVERY_MODE
    @pytest.mark.parametrize("answer", [["a"], ["a"] * 9, "abc", None, {1: "a"}, 7], ids=repr)
    def test_a_list_call_with_the_wrong_number_of_answers_is_repeated_item_by_item(
        self, executor: Executor, mode: Mode, answer: object
    ) -> None:
        outcomes = classify(
            executor,
            in_mode(lambda items: ["a"] if len(items) == 1 else answer, mode, is_batched=True),
            make_items(3),
        )
        assert set(outcomes.values()) == {Classification("a")}

    @EVERY_MODE
    def test_a_single_item_with_the_wrong_number_of_answers_is_dead(self, executor: Executor, mode: Mode) -> None:
        outcomes = classify(executor, in_mode(lambda items: [], mode, is_batched=True), make_items(2))
        for outcome in outcomes.values():
            assert failure_of(outcome).kind is FailureKind.PERMANENT
            assert failure_of(outcome).type == "wrong_length"

    @EVERY_MODE
    def test_list_calls_have_at_most_max_items(self, executor: Executor, mode: Mode) -> None:
        sizes: list[int] = []

        def call(items: list[WorkItem]) -> list[str]:
            sizes.append(len(items))
            return ["a"] * len(items)

        classify(executor, in_mode(call, mode, is_batched=True, max_items=4), make_items(10))
        assert sorted(sizes) == [2, 4, 4]

    def test_an_unknown_label_is_dead_and_the_closest_is_suggested(self, executor: Executor) -> None:
        step = make_step(lambda item: "billing" if item.payload["n"] == 1 else "biling")
        outcomes = classify(executor, step, make_items(2), labels=["billing", "other"])
        assert outcomes[1] == Classification("billing")
        assert failure_of(outcomes[2]).type == "unknown_label"
        assert "did you mean 'billing'" in failure_of(outcomes[2]).message
