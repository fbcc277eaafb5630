"""Runs one stage for many items; each is emitted the moment it is done."""

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
from pipeline.stages.run.item_results import ItemResults, Judge
from pipeline.stages.run.spread_answers import spread

T = TypeVar("T")


class StageRunner:
    """The steps of a stage and where they run; one per process and definition, shared by its threads.

    Inline steps run first, in order and over all items. Then an item's other steps run at the same time as each other
    and whatever other items do: no item waits for another, but for places where more calls hang than
    `Step.max_concurrency` allows.

    Args:
        steps: exactly one where the stage is `classify`; any number where it is `enrich`.
        labels: the labels that a classifier may answer; None: any.

    Raises:
        ValueError: the stage cannot have that many steps.
    """

    def __init__(
        self, stage: Stage, steps: Sequence[Step], executor: Executor, *, labels: Collection[str] | None = None
    ) -> None:
        if stage is Stage.CLASSIFY and len(steps) != 1:
            raise ValueError(f"the classify stage has exactly one step, got {len(steps)}")
        self.stage = stage
        self.steps = tuple(steps)
        self._judge = Judge(stage, self.steps, None if labels is None else frozenset(labels))
        self._lanes = {n: executor.lane(step) for n, step in enumerate(steps) if step.mode is not Mode.INLINE}
        self._list_limit = min((step.max_items for step in steps if step.mode is Mode.INLINE), default=None)

    def run(self, items: Sequence[WorkItem], emit: Emit) -> None:
        """Run the stage; every item reaches `emit` exactly once, failed or not.

        Returns when the inline steps are done and the others are under way. `emit` is called by one thread at a time,
        during this call or later, and must be quick: it may run on the event loop. Ctrl-C during an inline step leaves
        this method, as does what `emit` raises in it; the items that were not emitted by then never are.
        """
        run = _Run(self.steps, self._judge, self._lanes, emit)
        for chunk in _chunks(items, self._list_limit or len(items)):
            run.begin([ItemResults(item, len(self.steps)) for item in chunk])


class _Run:
    def __init__(self, steps: tuple[Step, ...], judge: Judge, lanes: dict[int, CallLane], emit: Emit) -> None:
        self._steps = steps
        self._judge = judge
        self._lanes = lanes
        self._outlet = EmitGroup(emit)
        self._lock = Lock()

    def begin(self, tallies: list[ItemResults]) -> None:
        """Run the inline steps, emit what they finish and start the other steps of the rest."""
        for position, step in enumerate(self._steps):
            if step.mode is Mode.INLINE:
                self._run_inline(position, [tally for tally in tallies if not tally.is_lost])
        self._emit([tally for tally in tallies if tally.is_lost or not tally.missing])
        waiting = [tally for tally in tallies if tally.missing and not tally.is_lost]
        for position, lane in self._lanes.items():
            size = self._steps[position].max_items if self._steps[position].is_batched else 1
            lane.submit([self._call(position, group) for group in _chunks(waiting, size)])

    def _run_inline(self, position: int, tallies: list[ItemResults]) -> None:
        answers = _inline(self._steps[position], [tally.item for tally in tallies])
        for tally, answer in zip(tallies, answers, strict=True):
            tally.put(position, self._judge.result(position, answer))

    def _call(self, position: int, tallies: Sequence[ItemResults]) -> Call:
        step = self._steps[position]
        items = [tally.item for tally in tallies]
        argument = items if step.is_batched else items[0]
        return Call(step.call, argument, step.timeout_seconds, partial(self._receive, position, tallies), step.name)

    def _receive(self, position: int, tallies: Sequence[ItemResults], answer: object) -> None:
        """Take the answer of a call; it comes on the thread or the loop that made the call."""
        answers = spread(answer, len(tallies)) if self._steps[position].is_batched else [answer]
        if isinstance(answers, list):
            self._settle(position, tallies, answers)
        elif len(tallies) == 1:
            self._settle(position, tallies, [answers])
        else:
            self._lanes[position].submit([self._call(position, [tally]) for tally in tallies])

    def _settle(self, position: int, tallies: Sequence[ItemResults], answers: list[Any]) -> None:
        results = [self._judge.result(position, answer) for answer in answers]
        # An item's steps end on different threads; whoever brings its last result emits it.
        with self._lock:
            for tally, result in zip(tallies, results, strict=True):
                tally.put(position, result)
            finished = [tally for tally in tallies if not tally.missing]
        self._emit(finished)

    def _emit(self, finished: list[ItemResults]) -> None:
        if finished:
            self._outlet.add([(tally.item, self._judge.outcome(tally)) for tally in finished])


def _inline(step: Step, items: Sequence[WorkItem]) -> list[Any]:
    """Return an answer, or the exception raised in its place, for each item."""
    if not step.is_batched:
        return [_attempt(step, item) for item in items]
    answers = spread(_attempt(step, items), len(items)) if items else []
    if isinstance(answers, list):
        return answers
    if len(items) == 1:
        return [answers]
    return [answer for item in items for answer in _inline(step, [item])]


def _attempt(step: Step, argument: object) -> object:
    # Not BaseException: inline steps are ours, so Ctrl-C here is the person's.
    try:
        return step.call(argument)
    except Exception as error:
        return error


def _chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), max(size, 1)))
