"""The runner emits every item exactly once, independently of the others."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.item import Enrichment, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.errors import Permanent, Throttled, Transient
from pipeline.stages.catalog.step import Mode
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner
from tests.support.stage_runs import (
    EVERY_MODE,
    WAIT_SECONDS,
    Emitted,
    enrich,
    failure_of,
    in_mode,
    make_items,
    make_step,
)


class TestEnrich:
    def test_without_enrichers_the_enrichment_is_empty(self, executor: Executor) -> None:
        assert enrich(executor, [], make_items(2)) == {1: Enrichment({}), 2: Enrichment({})}

    def test_inline_enrichers_run_before_the_others_and_in_order(self, executor: Executor) -> None:
        order: list[str] = []

        def record(name: str) -> Callable[[WorkItem], dict[str, Any]]:
            def call(item: WorkItem) -> dict[str, Any]:
                order.append(name)
                return {}

            return call

        steps = [
            make_step(record("thread"), Mode.THREAD, name="thread"),
            make_step(record("first"), name="first"),
            make_step(record("second"), name="second"),
        ]
        enrich(executor, steps, make_items(1))
        assert order == ["first", "second", "thread"]

    @EVERY_MODE
    def test_the_outcome_is_the_most_severe_failure_with_its_enrichers_name(
        self, executor: Executor, mode: Mode
    ) -> None:
        def failing(error: Exception) -> Callable[[WorkItem], dict[str, Any]]:
            def call(item: WorkItem) -> dict[str, Any]:
                raise error

            return call

        errors = {"a": Throttled("t"), "b": Transient("x"), "c": Permanent("p"), "d": ValueError("v")}
        steps = [in_mode(failing(error), mode, name=name) for name, error in errors.items()]
        assert enrich(executor, steps, make_items(1))[1] == Failure(FailureKind.PERMANENT, "Permanent", "c: p")
        assert enrich(executor, steps[:2], make_items(1))[1] == Failure(FailureKind.TRANSIENT, "Transient", "b: x")

    def test_an_item_that_fails_permanently_inline_gets_no_further_calls(self, executor: Executor) -> None:
        called: list[int] = []

        def reject(item: WorkItem) -> dict[str, Any]:
            if item.payload["n"] == 1:
                raise Permanent("no")
            return {}

        def call(item: WorkItem) -> dict[str, Any]:
            called.append(item.payload["n"])
            return {}

        steps = [make_step(reject, name="a"), make_step(call, Mode.THREAD, name="b")]
        outcomes = enrich(executor, steps, make_items(2))
        assert failure_of(outcomes[1]).message == "a: no"
        assert called == [2]

    def test_classify_has_exactly_one_step(self, executor: Executor) -> None:
        with pytest.raises(ValueError, match="exactly one step, got 0"):
            StageRunner(Stage.CLASSIFY, [], executor)


ANSWERS = st.sampled_from(["ok", "invalid", "raise", "permanent", "throttled", "other"])
STEPS = st.lists(st.tuples(st.sampled_from(list(Mode)), st.booleans(), st.integers(1, 4)), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def shared_executor() -> Iterator[Executor]:
    with Executor() as executor:
        yield executor


def answer_or_raise(behaviour: str) -> object:
    if behaviour == "ok":
        return {}
    if behaviour == "invalid":
        return "not an object"
    error = {"raise": ValueError, "permanent": Permanent, "throttled": Throttled, "other": Exception}[behaviour]
    raise error("x")


@given(kinds=STEPS, table=st.lists(st.lists(ANSWERS, min_size=4, max_size=4), max_size=12))
def test_every_item_is_emitted_exactly_once(
    shared_executor: Executor, kinds: list[tuple[Mode, bool, int]], table: list[list[str]]
) -> None:
    def call(step: int, is_batched: bool) -> Callable[[Any], Any]:
        def call_item(item: WorkItem) -> object:
            return answer_or_raise(table[item.payload["n"] - 1][step])

        return (lambda items: [call_item(item) for item in items]) if is_batched else call_item

    steps = [
        in_mode(call(n, is_batched), mode, name=str(n), is_batched=is_batched, max_items=size)
        for n, (mode, is_batched, size) in enumerate(kinds)
    ]
    emitted = Emitted()
    StageRunner(Stage.ENRICH, steps, shared_executor).run(make_items(len(table)), emitted)
    outcomes = emitted.wait(len(table))
    assert sorted(emitted.ids) == list(range(1, len(table) + 1))
    for item, row in enumerate(table, start=1):
        assert isinstance(outcomes[item], Enrichment) == all(behaviour == "ok" for behaviour in row[: len(steps)])


class TestEmit:
    def test_emit_is_called_from_one_thread_at_a_time(self, executor: Executor) -> None:
        emitted, inside = Emitted(), threading.Lock()
        overlaps: list[int] = []

        def emit(group: list[tuple[WorkItem, Outcome]]) -> None:
            if not inside.acquire(blocking=False):
                overlaps.append(1)
                return
            emitted(group)
            inside.release()

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            step = make_step(lambda item: "a", Mode.THREAD)
            StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(300), emit)
            emitted.wait(300)
        finally:
            sys.setswitchinterval(interval)
        assert overlaps == []

    def test_an_exception_of_emit_does_not_stop_later_items(self, executor: Executor) -> None:
        emitted = Emitted()

        def emit(group: list[tuple[WorkItem, Outcome]]) -> None:
            emitted(group)
            raise RuntimeError("full")

        step = make_step(lambda item: "a", Mode.THREAD, max_concurrency=1)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(5), emit)
        emitted.wait(5)


class TestClose:
    def test_close_does_not_wait_for_a_hung_thread_whose_item_is_never_emitted(self) -> None:
        executor, emitted = Executor(), Emitted()
        started, go, ended = threading.Event(), threading.Event(), threading.Event()

        def call(item: WorkItem) -> str:
            started.set()
            try:
                go.wait()
                return "late"
            finally:
                ended.set()

        step = make_step(call, Mode.THREAD, max_concurrency=1)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(3), emitted)
        assert started.wait(WAIT_SECONDS)
        executor.close()
        # The thread can only finish now. Had `close` waited for it, the test would never get here.
        go.set()
        assert ended.wait(WAIT_SECONDS)
        assert emitted.groups == []

    def test_close_cancels_coroutines_and_stops_the_loop(self) -> None:
        executor, emitted = Executor(), Emitted()
        started, cleaned = threading.Event(), threading.Event()

        async def call(item: WorkItem) -> str:
            started.set()
            try:
                await asyncio.sleep(WAIT_SECONDS)
                return "late"
            finally:
                cleaned.set()

        StageRunner(Stage.CLASSIFY, [make_step(call, Mode.ASYNC)], executor).run(make_items(2), emitted)
        assert started.wait(WAIT_SECONDS)
        executor.close()
        assert cleaned.is_set()
        assert emitted.groups == []
        executor.close()

    def test_an_unused_executor_starts_no_thread(self) -> None:
        before = threading.active_count()
        with Executor() as executor:
            executor.lane(make_step(print, Mode.THREAD))
            executor.lane(make_step(print, Mode.ASYNC))
            assert threading.active_count() == before
