"""How exceptions in user code become failures of items."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.domain.item import Classification, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind
from pipeline.errors import Permanent, Throttled, Transient
from pipeline.stages.catalog.step import Mode
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner
from tests.support.stage_runs import (
    EVERY_MODE,
    USER_MODES,
    Emitted,
    classify,
    failure_of,
    in_mode,
    make_items,
    make_step,
)


class TestExceptions:
    @EVERY_MODE
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (Permanent("x"), FailureKind.PERMANENT),
            (Transient("x"), FailureKind.TRANSIENT),
            (Throttled("x"), FailureKind.THROTTLED),
            (KeyError("x"), FailureKind.TRANSIENT),
        ],
        ids=lambda value: str(value),
    )
    def test_the_exception_type_determines_the_failure_kind(
        self, executor: Executor, mode: Mode, error: Exception, kind: FailureKind
    ) -> None:
        def call(item: WorkItem) -> str:
            raise error

        outcome = classify(executor, in_mode(call, mode), make_items(1))[1]
        assert outcome == Failure(kind, type(error).__name__, str(error))

    @USER_MODES
    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
    def test_an_exception_that_would_end_the_process_fails_only_its_item(
        self, executor: Executor, mode: Mode, error: type[BaseException]
    ) -> None:
        def call(item: WorkItem) -> str:
            if item.payload["n"] == 2:
                raise error("stop")
            return "a"

        outcomes = classify(executor, in_mode(call, mode), make_items(3))
        assert outcomes == {
            1: Classification("a"),
            2: Failure(FailureKind.TRANSIENT, error.__name__, "stop"),
            3: Classification("a"),
        }

    def test_a_coroutine_that_cancels_itself_fails(self, executor: Executor) -> None:
        async def call(item: WorkItem) -> str:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return "a"

        assert failure_of(classify(executor, make_step(call, Mode.ASYNC), make_items(1))[1]).type == "CancelledError"

    def test_ctrl_c_in_an_inline_step_is_raised(self, executor: Executor) -> None:
        def call(item: WorkItem) -> str:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            StageRunner(Stage.CLASSIFY, [make_step(call)], executor).run(make_items(1), Emitted())

    def test_an_exception_with_a_broken_str_is_still_a_failure(self, executor: Executor) -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        def call(item: WorkItem) -> str:
            raise Broken

        assert failure_of(classify(executor, make_step(call), make_items(1))[1]).message == "Broken"

    @pytest.mark.parametrize(
        ("retry_after", "recorded"),
        [(2, 2.0), (-1, 0.0), (float("nan"), None), (float("inf"), 86_400.0), ("30", None), (True, None)],
    )
    def test_an_invalid_retry_after_is_corrected_or_ignored(
        self, executor: Executor, retry_after: Any, recorded: float | None
    ) -> None:
        def call(item: WorkItem) -> str:
            raise Throttled(retry_after=retry_after)

        assert failure_of(classify(executor, make_step(call), make_items(1))[1]).retry_after == recorded
