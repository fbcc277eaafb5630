"""Runs a stage for many items, and emits each item the moment it is done."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from pipeline.domain.item import Stage, WorkItem
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.run.call_lane import Call, CallLane
from pipeline.stages.run.emit_group import Emit, EmitGroup
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.item_results import AnswerReader, ItemResults
from pipeline.stages.run.spread_answers import spread_answers

T = TypeVar("T")


class StageRunner:
    """Runs the steps of a stage. A process needs one runner per definition and stage, shared by its threads.

    Inline steps run first, one after the other, each on all items. Then the other steps of all items run concurrently.
    No item waits for another, unless `Step.max_concurrency` calls of a step are all busy.

    Args:
        steps: exactly one for the `classify` stage; any number for `enrich`.
        labels: the labels that a classifier may return; None allows any.

    Raises:
        ValueError: the stage cannot have this number of steps.
    """

    def __init__(
        self, stage: Stage, steps: Sequence[Step], executor: Executor, *, labels: Collection[str] | None = None
    ) -> None:
        if stage is Stage.CLASSIFY and len(steps) != 1:
            raise ValueError(f"the classify stage has exactly one step, got {len(steps)}")
        self.stage = stage
        self.steps = tuple(steps)
        self._reader = AnswerReader(stage, self.steps, None if labels is None else frozenset(labels))
        self._lanes = {n: executor.lane(step) for n, step in enumerate(steps) if step.mode is not Mode.INLINE}
        self._chunk_size = min((step.max_items for step in steps if step.mode is Mode.INLINE), default=None)

    def run(self, items: Sequence[WorkItem], emit: Emit) -> None:
        """Run the stage, and pass every item to `emit` exactly once, whether it succeeded or failed.

        Returns once the inline steps are done and the others have started. `emit` is called from one thread at a time,
        during this call or later, and must be fast because it may run on the event loop. A KeyboardInterrupt in an
        inline step is raised from here, and so are exceptions of `emit`; items not emitted by then never are.
        """
        run = _Run(self.steps, self._reader, self._lanes, emit)
        for chunk in _chunks(items, self._chunk_size or len(items)):
            run.start([ItemResults(item, len(self.steps)) for item in chunk])


class _Run:
    """One run of the steps of a stage over some items."""

    def __init__(self, steps: tuple[Step, ...], reader: AnswerReader, lanes: dict[int, CallLane], emit: Emit) -> None:
        self._steps = steps
        self._reader = reader
        self._lanes = lanes
        self._finished = EmitGroup(emit)
        self._lock = Lock()

    def start(self, items: list[ItemResults]) -> None:
        """Run the inline steps, emit the items that are then finished, and start the other steps of the rest."""
        for position, step in enumerate(self._steps):
            if step.mode is Mode.INLINE:
                self._run_inline(position, [item for item in items if not item.has_failed])
        self._emit([item for item in items if item.has_failed or not item.pending])
        unfinished = [item for item in items if item.pending and not item.has_failed]
        for position, lane in self._lanes.items():
            size = self._steps[position].max_items if self._steps[position].is_batched else 1
            lane.submit([self._make_call(position, group) for group in _chunks(unfinished, size)])

    def _run_inline(self, position: int, items: list[ItemResults]) -> None:
        answers = _call_inline(self._steps[position], [each.item for each in items])
        for item, answer in zip(items, answers, strict=True):
            item.set_result(position, self._reader.read(position, answer))

    def _make_call(self, position: int, items: Sequence[ItemResults]) -> Call:
        step = self._steps[position]
        work_items = [each.item for each in items]
        argument = work_items if step.is_batched else work_items[0]
        return Call(step.call, argument, step.timeout_seconds, partial(self._on_answer, position, items), step.name)

    def _on_answer(self, position: int, items: Sequence[ItemResults], answer: object) -> None:
        """Handle the answer of a call, on the thread or the loop that made the call."""
        answers = spread_answers(answer, len(items)) if self._steps[position].is_batched else [answer]
        if isinstance(answers, list):
            self._set_results(position, items, answers)
        elif len(items) == 1:
            self._set_results(position, items, [answers])
        else:
            self._lanes[position].submit([self._make_call(position, [item]) for item in items])

    def _set_results(self, position: int, items: Sequence[ItemResults], answers: list[Any]) -> None:
        results = [self._reader.read(position, answer) for answer in answers]
        # The steps of an item finish on different threads; the one that sets its last result emits it.
        with self._lock:
            for item, result in zip(items, results, strict=True):
                item.set_result(position, result)
            finished = [item for item in items if not item.pending]
        self._emit(finished)

    def _emit(self, finished: list[ItemResults]) -> None:
        if finished:
            self._finished.add([(each.item, self._reader.combine(each)) for each in finished])


def _call_inline(step: Step, items: Sequence[WorkItem]) -> list[Any]:
    """Return an answer for each item, or the exception that was raised instead."""
    if not step.is_batched:
        return [_call_or_error(step, item) for item in items]
    answers = spread_answers(_call_or_error(step, items), len(items)) if items else []
    if isinstance(answers, list):
        return answers
    if len(items) == 1:
        return [answers]
    return [answer for item in items for answer in _call_inline(step, [item])]


def _call_or_error(step: Step, argument: object) -> object:
    # Not BaseException: inline steps are built in, so a KeyboardInterrupt here comes from the user.
    try:
        return step.call(argument)
    except Exception as error:
        return error


def _chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), max(size, 1)))
