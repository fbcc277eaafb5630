"""A call that times out is abandoned, and fails only its own items."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from pipeline.domain.item import Classification, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind
from pipeline.stages.catalog.step import Mode
from pipeline.stages.run.async_loop.loop import EventLoop
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner
from tests.support.stage_runs import (
    USER_MODES,
    WAIT_SECONDS,
    Emitted,
    classify,
    in_mode,
    make_items,
    make_step,
)

#: The timeout of calls in tests about calls that exceed it, in seconds: many times what the other calls take, even on a
#: busy machine.
SHORT = 0.3


@pytest.fixture
def executor() -> Iterator[Executor]:
    """An executor that quickly detects a blocked loop."""
    with Executor(EventLoop(watch_seconds=0.05, late_seconds=0.2)) as executor:
        yield executor


class TestTimeouts:
    TIMEOUT = Failure(FailureKind.TRANSIENT, "timeout", f"took longer than {SHORT:g} s")

    def test_an_endless_loop_times_out_and_its_thread_ends(self, executor: Executor) -> None:
        stopped = threading.Event()

        def call(item: WorkItem) -> str:
            try:
                while item.payload["n"] == 1:
                    pass
            finally:
                stopped.set()
            return "a"

        outcomes = classify(executor, make_step(call, Mode.THREAD, timeout_seconds=SHORT), make_items(2))
        assert outcomes == {1: self.TIMEOUT, 2: Classification("a")}
        assert stopped.wait(WAIT_SECONDS)

    def test_the_slot_of_a_call_that_blocks_forever_goes_to_the_next_call(self, executor: Executor) -> None:
        go = threading.Event()

        def call(item: WorkItem) -> str:
            if item.payload["n"] <= 2:
                go.wait()
            return "a"

        step = make_step(call, Mode.THREAD, timeout_seconds=SHORT, max_concurrency=1)
        outcomes = classify(executor, step, make_items(4))
        go.set()
        assert outcomes == {1: self.TIMEOUT, 2: self.TIMEOUT, 3: Classification("a"), 4: Classification("a")}

    def test_a_call_that_swallows_its_interruption_is_emitted_once(self, executor: Executor) -> None:
        ended = threading.Event()

        def call(item: WorkItem) -> str:
            try:
                while True:
                    pass
            except BaseException:
                ended.set()
                return "late"

        emitted = Emitted()
        step = make_step(call, Mode.THREAD, timeout_seconds=SHORT)
        runner = StageRunner(Stage.CLASSIFY, [step], executor)
        runner.run(make_items(1), emitted)
        assert ended.wait(WAIT_SECONDS)
        assert emitted.wait(1) == {1: self.TIMEOUT}
        assert emitted.ids == [1]

    def test_a_coroutine_times_out_even_if_it_suppresses_cancellation(self, executor: Executor) -> None:
        cancelled = threading.Event()

        async def call(item: WorkItem) -> str:
            while item.payload["n"] <= 2:
                try:
                    await asyncio.sleep(WAIT_SECONDS)
                except asyncio.CancelledError:
                    if item.payload["n"] == 1:
                        cancelled.set()
                        raise
            return "a"

        outcomes = classify(executor, make_step(call, Mode.ASYNC, timeout_seconds=SHORT), make_items(3))
        assert outcomes == {1: self.TIMEOUT, 2: self.TIMEOUT, 3: Classification("a")}
        assert cancelled.wait(WAIT_SECONDS)

    def test_a_coroutine_that_blocks_the_loop_fails_alone(self, executor: Executor) -> None:
        go = threading.Event()

        async def call(item: WorkItem) -> str:
            await asyncio.sleep(0)
            if item.payload["n"] == 25:
                go.wait()
            await asyncio.sleep(0)
            return "a"

        outcomes = classify(executor, make_step(call, Mode.ASYNC, timeout_seconds=SHORT, name="mine"), make_items(51))
        assert outcomes.pop(25) == self.TIMEOUT
        assert outcomes == {number: Classification("a") for number in range(1, 52) if number != 25}
        # The abandoned loop ends by itself once it is unblocked, and the new one keeps working.
        stuck = [thread for thread in threading.enumerate() if thread.name == "pipeline-loop"]
        go.set()
        emitted = Emitted()
        step = make_step(call, Mode.ASYNC, timeout_seconds=SHORT)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(60), emitted)
        assert set(emitted.wait(60).values()) == {Classification("a")}
        assert len(emitted.ids) == 60
        stuck[0].join(WAIT_SECONDS)
        assert not stuck[0].is_alive()

    def test_a_coroutine_whose_child_task_blocks_the_loop_times_out(self, executor: Executor) -> None:
        go = threading.Event()

        async def child() -> str:
            go.wait()
            return "a"

        async def call(item: WorkItem) -> str:
            return await asyncio.create_task(child())

        outcomes = classify(executor, make_step(call, Mode.ASYNC, timeout_seconds=SHORT), make_items(1))
        go.set()
        assert outcomes == {1: self.TIMEOUT}

    def test_work_queued_on_a_blocked_loop_runs_elsewhere(self, executor: Executor) -> None:
        go = threading.Event()
        started = threading.Event()

        async def block(item: WorkItem) -> str:
            started.set()
            go.wait()
            return "a"

        async def quick(item: WorkItem) -> str:
            return "a"

        first, second = Emitted(), Emitted()
        step = make_step(block, Mode.ASYNC, timeout_seconds=SHORT)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(1), first)
        assert started.wait(WAIT_SECONDS)
        step = make_step(quick, Mode.ASYNC, max_concurrency=2)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(9), second)
        assert set(second.wait(9).values()) == {Classification("a")}
        assert first.wait(1) == {1: self.TIMEOUT}
        go.set()

    @pytest.mark.parametrize("mode", [Mode.THREAD, Mode.ASYNC])
    def test_an_abandoned_call_is_logged_with_step_and_items(
        self, executor: Executor, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        go = threading.Event()

        def call(item: WorkItem) -> str:
            go.wait()
            return "a"

        classify(executor, in_mode(call, mode, timeout_seconds=SHORT, name="mine"), make_items(1))
        go.set()
        line = next(line for line in caplog.messages if "call_abandoned" in line)
        assert "mine" in line
        assert "b-1" in line

    @USER_MODES
    def test_a_list_call_that_times_out_is_repeated_item_by_item(self, executor: Executor, mode: Mode) -> None:
        go = threading.Event()

        def in_thread(items: list[WorkItem]) -> list[str]:
            if any(item.payload["n"] == 2 for item in items):
                go.wait()
            return ["a"] * len(items)

        async def on_loop(items: list[WorkItem]) -> list[str]:
            if any(item.payload["n"] == 2 for item in items):
                await asyncio.sleep(WAIT_SECONDS)
            return ["a"] * len(items)

        call = on_loop if mode is Mode.ASYNC else in_thread
        outcomes = classify(executor, make_step(call, mode, is_batched=True, timeout_seconds=SHORT), make_items(3))
        go.set()
        assert outcomes == {1: Classification("a"), 2: self.TIMEOUT, 3: Classification("a")}
