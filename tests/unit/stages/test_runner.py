"""Every item is emitted exactly once, on its own, whatever the others do."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.item import Classification, Enrichment, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.errors import Permanent, Throttled, Transient
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner

#: Seconds after which a wait is a failure; never how long anything takes.
PATIENCE = 20
#: Seconds that a call may take where the test is about calls that take longer.
SHORT = 0.1


class Emitted:
    """Collects what a run emits and waits for it."""

    def __init__(self) -> None:
        self.groups: list[list[tuple[WorkItem, Outcome]]] = []
        self._changed = threading.Condition()

    def __call__(self, group: list[tuple[WorkItem, Outcome]]) -> None:
        with self._changed:
            self.groups.append(group)
            self._changed.notify_all()

    @property
    def ids(self) -> list[int]:
        return [item.id for group in self.groups for item, _ in group]

    @property
    def outcomes(self) -> dict[int, Outcome]:
        return {item.id: outcome for group in self.groups for item, outcome in group}

    def wait(self, count: int) -> dict[int, Outcome]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ids) >= count, PATIENCE), f"{len(self.ids)} of {count}"
        return self.outcomes


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as executor:
        yield executor


def make_items(count: int) -> list[WorkItem]:
    return [WorkItem(n, f"b-{n}", "b", None, {"n": n}, f"text {n}", 1) for n in range(1, count + 1)]


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


class TestNoHostage:
    def test_a_plain_function_that_waits_delays_none_of_199_others(self, executor: Executor) -> None:
        go = threading.Event()

        def call(item: WorkItem) -> str:
            if item.id == 7:
                assert go.wait(PATIENCE)
            return "a"

        self._others_first(executor, make_step(call, Mode.THREAD), go.set)

    def test_a_coroutine_that_waits_delays_none_of_199_others(self, executor: Executor) -> None:
        go = threading.Event()

        async def call(item: WorkItem) -> str:
            if item.id == 7:
                await asyncio.to_thread(go.wait, PATIENCE)
            return "a"

        self._others_first(executor, make_step(call, Mode.ASYNC), go.set)

    def _others_first(self, executor: Executor, step: Step, release: Callable[[], None]) -> None:
        emitted = Emitted()
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(200), emitted)
        others = emitted.wait(199)
        assert 7 not in others
        release()
        emitted.wait(200)
        assert sorted(emitted.ids) == list(range(1, 201))

    def test_an_item_that_waits_in_one_enricher_does_not_hold_back_the_enrichers_of_others(
        self, executor: Executor
    ) -> None:
        go = threading.Event()

        def slow(item: WorkItem) -> dict[str, Any]:
            if item.id == 1:
                assert go.wait(PATIENCE)
            return {"slow": item.id}

        async def quick(item: WorkItem) -> dict[str, Any]:
            return {"quick": item.id}

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

    def test_the_enrichers_of_an_item_run_at_the_same_time(self, executor: Executor) -> None:
        meeting = threading.Barrier(2, timeout=PATIENCE)

        def call(item: WorkItem) -> dict[str, Any]:
            meeting.wait()
            return {}

        steps = [make_step(call, Mode.THREAD, name="a"), make_step(call, Mode.THREAD, name="b")]
        assert enrich(executor, steps, make_items(1)) == {1: Enrichment({"a": {}, "b": {}})}

    def test_run_returns_while_calls_are_under_way(self, executor: Executor) -> None:
        go = threading.Event()
        emitted = Emitted()
        runner = StageRunner(Stage.CLASSIFY, [make_step(lambda _: go.wait(PATIENCE) and "a", Mode.THREAD)], executor)
        runner.run(make_items(3), emitted)
        assert emitted.groups == []
        go.set()
        emitted.wait(3)

    @USER_MODES
    def test_at_most_max_concurrency_calls_are_under_way(self, executor: Executor, mode: Mode) -> None:
        lock, running, most = threading.Lock(), 0, 0

        def enter(change: int) -> None:
            nonlocal running, most
            with lock:
                running += change
                most = max(most, running)

        async def on_loop(item: WorkItem) -> str:
            enter(1)
            await asyncio.sleep(0)
            enter(-1)
            return "a"

        def in_thread(item: WorkItem) -> str:
            enter(1)
            enter(-1)
            return "a"

        step = make_step(on_loop if mode is Mode.ASYNC else in_thread, mode, max_concurrency=3)
        classify(executor, step, make_items(50))
        assert 1 <= most <= 3


class TestOneBadItemFailsAlone:
    @EVERY_MODE
    def test_an_exception_in_a_list_call_fails_only_the_item_that_raises(self, executor: Executor, mode: Mode) -> None:
        def call(items: list[WorkItem]) -> list[str]:
            if any(item.id == 3 for item in items):
                raise ValueError("three")
            return ["a"] * len(items)

        outcomes = classify(executor, in_mode(call, mode, is_batched=True), make_items(5))
        assert outcomes.pop(3) == Failure(FailureKind.TRANSIENT, "ValueError", "three")
        assert set(outcomes.values()) == {Classification("a")}

    @EVERY_MODE
    def test_an_exception_object_among_the_answers_fails_its_item_without_a_second_call(
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
    def test_a_list_call_with_a_wrong_number_of_answers_is_called_again_one_by_one(
        self, executor: Executor, mode: Mode, answer: object
    ) -> None:
        outcomes = classify(
            executor,
            in_mode(lambda items: ["a"] if len(items) == 1 else answer, mode, is_batched=True),
            make_items(3),
        )
        assert set(outcomes.values()) == {Classification("a")}

    @EVERY_MODE
    def test_a_single_item_with_a_wrong_number_of_answers_is_dead(self, executor: Executor, mode: Mode) -> None:
        outcomes = classify(executor, in_mode(lambda items: [], mode, is_batched=True), make_items(2))
        for outcome in outcomes.values():
            assert failure_of(outcome).kind is FailureKind.PERMANENT
            assert failure_of(outcome).type == "wrong_length"

    @EVERY_MODE
    def test_lists_have_at_most_max_items(self, executor: Executor, mode: Mode) -> None:
        sizes: list[int] = []

        def call(items: list[WorkItem]) -> list[str]:
            sizes.append(len(items))
            return ["a"] * len(items)

        classify(executor, in_mode(call, mode, is_batched=True, max_items=4), make_items(10))
        assert sorted(sizes) == [2, 4, 4]

    def test_a_label_outside_the_definitions_is_dead_and_the_nearest_is_named(self, executor: Executor) -> None:
        step = make_step(lambda item: "billing" if item.id == 1 else "biling")
        outcomes = classify(executor, step, make_items(2), labels=["billing", "other"])
        assert outcomes[1] == Classification("billing")
        assert failure_of(outcomes[2]).type == "unknown_label"
        assert "did you mean 'billing'" in failure_of(outcomes[2]).message


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
    def test_an_exception_decides_how_its_item_is_treated(
        self, executor: Executor, mode: Mode, error: Exception, kind: FailureKind
    ) -> None:
        def call(item: WorkItem) -> str:
            raise error

        outcome = classify(executor, in_mode(call, mode), make_items(1))[1]
        assert outcome == Failure(kind, type(error).__name__, str(error))

    @USER_MODES
    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
    def test_what_would_end_a_process_ends_only_the_item(
        self, executor: Executor, mode: Mode, error: type[BaseException]
    ) -> None:
        def call(item: WorkItem) -> str:
            if item.id == 2:
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

    def test_ctrl_c_in_an_inline_step_reaches_the_person(self, executor: Executor) -> None:
        def call(item: WorkItem) -> str:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            StageRunner(Stage.CLASSIFY, [make_step(call)], executor).run(make_items(1), Emitted())

    def test_an_error_that_cannot_be_printed_is_still_a_failure(self, executor: Executor) -> None:
        class Silent(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        def call(item: WorkItem) -> str:
            raise Silent

        assert failure_of(classify(executor, make_step(call), make_items(1))[1]).message == "Silent"

    @pytest.mark.parametrize(
        ("stated", "kept"),
        [(2, 2.0), (-1, 0.0), (float("nan"), None), (float("inf"), 86_400.0), ("30", None), (True, None)],
    )
    def test_a_wait_that_makes_no_sense_is_not_recorded(
        self, executor: Executor, stated: Any, kept: float | None
    ) -> None:
        def call(item: WorkItem) -> str:
            raise Throttled(retry_after=stated)

        assert failure_of(classify(executor, make_step(call), make_items(1))[1]).retry_after == kept


class TestTimeouts:
    TIMEOUT = Failure(FailureKind.TRANSIENT, "timeout", f"took longer than {SHORT:g} s")

    def test_an_endless_loop_is_cut_and_its_thread_stops(self, executor: Executor) -> None:
        stopped = threading.Event()

        def call(item: WorkItem) -> str:
            try:
                while item.id == 1:
                    pass
            finally:
                stopped.set()
            return "a"

        outcomes = classify(executor, make_step(call, Mode.THREAD, timeout_seconds=SHORT), make_items(2))
        assert outcomes == {1: self.TIMEOUT, 2: Classification("a")}
        assert stopped.wait(PATIENCE)

    def test_a_call_that_blocks_for_ever_gives_its_place_to_the_next(self, executor: Executor) -> None:
        go = threading.Event()

        def call(item: WorkItem) -> str:
            if item.id <= 2:
                go.wait()
            return "a"

        step = make_step(call, Mode.THREAD, timeout_seconds=SHORT, max_concurrency=1)
        outcomes = classify(executor, step, make_items(4))
        go.set()
        assert outcomes == {1: self.TIMEOUT, 2: self.TIMEOUT, 3: Classification("a"), 4: Classification("a")}

    def test_a_call_that_swallows_its_end_is_emitted_once(self, executor: Executor) -> None:
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
        assert ended.wait(PATIENCE)
        assert emitted.wait(1) == {1: self.TIMEOUT}
        assert emitted.ids == [1]

    def test_a_coroutine_is_cut_even_if_it_refuses_to_be_cancelled(self, executor: Executor) -> None:
        cancelled = threading.Event()

        async def call(item: WorkItem) -> str:
            while item.id <= 2:
                try:
                    await asyncio.sleep(PATIENCE)
                except asyncio.CancelledError:
                    if item.id == 1:
                        cancelled.set()
                        raise
            return "a"

        outcomes = classify(executor, make_step(call, Mode.ASYNC, timeout_seconds=SHORT), make_items(3))
        assert outcomes == {1: self.TIMEOUT, 2: self.TIMEOUT, 3: Classification("a")}
        assert cancelled.wait(PATIENCE)

    def test_a_coroutine_that_blocks_the_loop_costs_only_itself(self, executor: Executor) -> None:
        go = threading.Event()

        async def call(item: WorkItem) -> str:
            await asyncio.sleep(0)
            if item.id == 25:
                go.wait()
            await asyncio.sleep(0)
            return "a"

        outcomes = classify(executor, make_step(call, Mode.ASYNC, timeout_seconds=SHORT, name="mine"), make_items(51))
        assert outcomes.pop(25) == self.TIMEOUT
        assert outcomes == {number: Classification("a") for number in range(1, 52) if number != 25}
        # The loop that was given up ends by itself once it is let go, and the new one goes on.
        stuck = [thread for thread in threading.enumerate() if thread.name == "pipeline-loop"]
        go.set()
        emitted = Emitted()
        step = make_step(call, Mode.ASYNC, timeout_seconds=SHORT)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(60), emitted)
        assert set(emitted.wait(60).values()) == {Classification("a")}
        assert len(emitted.ids) == 60
        stuck[0].join(PATIENCE)
        assert not stuck[0].is_alive()

    def test_a_task_of_a_coroutine_that_blocks_costs_only_what_is_overdue(self, executor: Executor) -> None:
        go = threading.Event()

        async def child() -> str:
            go.wait()
            return "a"

        async def call(item: WorkItem) -> str:
            return await asyncio.create_task(child())

        outcomes = classify(executor, make_step(call, Mode.ASYNC, timeout_seconds=SHORT), make_items(1))
        go.set()
        assert outcomes == {1: self.TIMEOUT}

    def test_places_that_a_blocked_loop_had_promised_are_kept(self, executor: Executor) -> None:
        go = threading.Event()
        begun = threading.Event()

        async def block(item: WorkItem) -> str:
            begun.set()
            go.wait()
            return "a"

        async def quick(item: WorkItem) -> str:
            return "a"

        first, second = Emitted(), Emitted()
        step = make_step(block, Mode.ASYNC, timeout_seconds=SHORT)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(1), first)
        assert begun.wait(PATIENCE)
        step = make_step(quick, Mode.ASYNC, max_concurrency=2)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(9), second)
        assert set(second.wait(9).values()) == {Classification("a")}
        assert first.wait(1) == {1: self.TIMEOUT}
        go.set()

    @pytest.mark.parametrize("mode", [Mode.THREAD, Mode.ASYNC])
    def test_a_call_that_is_given_up_is_named_in_the_log(
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
    def test_a_list_that_takes_too_long_is_called_again_one_by_one(self, executor: Executor, mode: Mode) -> None:
        go = threading.Event()

        def in_thread(items: list[WorkItem]) -> list[str]:
            if any(item.id == 2 for item in items):
                go.wait()
            return ["a"] * len(items)

        async def on_loop(items: list[WorkItem]) -> list[str]:
            if any(item.id == 2 for item in items):
                await asyncio.sleep(PATIENCE)
            return ["a"] * len(items)

        call = on_loop if mode is Mode.ASYNC else in_thread
        outcomes = classify(executor, make_step(call, mode, is_batched=True, timeout_seconds=SHORT), make_items(3))
        go.set()
        assert outcomes == {1: Classification("a"), 2: self.TIMEOUT, 3: Classification("a")}


class TestEnrich:
    def test_an_item_without_enrichers_is_enriched_with_nothing(self, executor: Executor) -> None:
        assert enrich(executor, [], make_items(2)) == {1: Enrichment({}), 2: Enrichment({})}

    def test_inline_enrichers_run_before_the_others_and_in_order(self, executor: Executor) -> None:
        order: list[str] = []

        def note(name: str) -> Callable[[WorkItem], dict[str, Any]]:
            def call(item: WorkItem) -> dict[str, Any]:
                order.append(name)
                return {}

            return call

        steps = [
            make_step(note("thread"), Mode.THREAD, name="thread"),
            make_step(note("first"), name="first"),
            make_step(note("second"), name="second"),
        ]
        enrich(executor, steps, make_items(1))
        assert order == ["first", "second", "thread"]

    @EVERY_MODE
    def test_the_most_severe_failure_decides_and_names_its_enricher(self, executor: Executor, mode: Mode) -> None:
        def failing(error: Exception) -> Callable[[WorkItem], dict[str, Any]]:
            def call(item: WorkItem) -> dict[str, Any]:
                raise error

            return call

        errors = {"a": Throttled("t"), "b": Transient("x"), "c": Permanent("p"), "d": ValueError("v")}
        steps = [in_mode(failing(error), mode, name=name) for name, error in errors.items()]
        assert enrich(executor, steps, make_items(1))[1] == Failure(FailureKind.PERMANENT, "Permanent", "c: p")
        assert enrich(executor, steps[:2], make_items(1))[1] == Failure(FailureKind.TRANSIENT, "Transient", "b: x")

    def test_an_item_that_is_lost_inline_costs_no_further_call(self, executor: Executor) -> None:
        called: list[int] = []

        def refuse(item: WorkItem) -> dict[str, Any]:
            if item.id == 1:
                raise Permanent("no")
            return {}

        def call(item: WorkItem) -> dict[str, Any]:
            called.append(item.id)
            return {}

        steps = [make_step(refuse, name="a"), make_step(call, Mode.THREAD, name="b")]
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


def misbehave(what: str) -> object:
    if what == "ok":
        return {}
    if what == "invalid":
        return "no object"
    error = {"raise": ValueError, "permanent": Permanent, "throttled": Throttled, "other": Exception}[what]
    raise error("x")


@settings(max_examples=60)
@given(kinds=STEPS, table=st.lists(st.lists(ANSWERS, min_size=4, max_size=4), max_size=12))
def test_every_item_is_emitted_exactly_once_whatever_the_steps_do(
    shared_executor: Executor, kinds: list[tuple[Mode, bool, int]], table: list[list[str]]
) -> None:
    def call(step: int, is_batched: bool) -> Callable[[Any], Any]:
        def one(item: WorkItem) -> object:
            return misbehave(table[item.id - 1][step])

        return (lambda items: [one(item) for item in items]) if is_batched else one

    steps = [
        in_mode(call(n, is_batched), mode, name=str(n), is_batched=is_batched, max_items=size)
        for n, (mode, is_batched, size) in enumerate(kinds)
    ]
    emitted = Emitted()
    StageRunner(Stage.ENRICH, steps, shared_executor).run(make_items(len(table)), emitted)
    outcomes = emitted.wait(len(table))
    assert sorted(emitted.ids) == list(range(1, len(table) + 1))
    for item, row in enumerate(table, start=1):
        assert isinstance(outcomes[item], Enrichment) == all(what == "ok" for what in row[: len(steps)])


class TestEmit:
    def test_emit_is_called_by_one_thread_at_a_time(self, executor: Executor) -> None:
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

    def test_a_receiver_that_fails_once_does_not_stop_what_comes_after(self, executor: Executor) -> None:
        emitted = Emitted()

        def emit(group: list[tuple[WorkItem, Outcome]]) -> None:
            emitted(group)
            raise RuntimeError("full")

        step = make_step(lambda item: "a", Mode.THREAD, max_concurrency=1)
        StageRunner(Stage.CLASSIFY, [step], executor).run(make_items(5), emit)
        emitted.wait(5)


class TestClose:
    def test_close_does_not_wait_for_a_hung_thread_which_then_emits_nothing(self) -> None:
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
        assert started.wait(PATIENCE)
        executor.close()
        # It would wait here for ever if close had waited for the thread: only now may it go on.
        go.set()
        assert ended.wait(PATIENCE)
        assert emitted.groups == []

    def test_close_cancels_coroutines_and_ends_the_loop(self) -> None:
        executor, emitted = Executor(), Emitted()
        started, cleaned = threading.Event(), threading.Event()

        async def call(item: WorkItem) -> str:
            started.set()
            try:
                await asyncio.sleep(PATIENCE)
                return "late"
            finally:
                cleaned.set()

        StageRunner(Stage.CLASSIFY, [make_step(call, Mode.ASYNC)], executor).run(make_items(2), emitted)
        assert started.wait(PATIENCE)
        executor.close()
        assert cleaned.is_set()
        assert emitted.groups == []
        executor.close()

    def test_an_executor_that_was_never_used_starts_no_thread(self) -> None:
        before = threading.active_count()
        with Executor() as executor:
            executor.lane(make_step(print, Mode.THREAD))
            executor.lane(make_step(print, Mode.ASYNC))
            assert threading.active_count() == before
