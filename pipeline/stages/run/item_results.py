"""What is known of one item while its steps run."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.domain.item import Classification, Enrichment, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.stages.catalog.step import Step
from pipeline.stages.run import failure, validate_answer


class ItemResults:
    """One item and the results of its steps; `missing` counts those that are still to come.

    `is_lost` says that a step failed for good, so that no other can save the item.
    """

    __slots__ = ("is_lost", "item", "missing", "results")

    def __init__(self, item: WorkItem, steps: int) -> None:
        self.item = item
        self.missing = steps
        self.results: list[object] = [None] * steps
        self.is_lost = False

    def put(self, position: int, result: object) -> None:
        """Note the result of the step at `position`."""
        self.results[position] = result
        self.missing -= 1
        if isinstance(result, Failure) and result.kind is FailureKind.PERMANENT:
            self.is_lost = True


class Judge:
    """Reads answers by the rules of a stage."""

    def __init__(self, stage: Stage, steps: Sequence[Step], labels: frozenset[str] | None) -> None:
        self._stage = stage
        self._steps = steps
        self._labels = labels

    def result(self, position: int, answer: object) -> object:
        """Return what `answer` of the step at `position` amounts to: a valid answer or a `Failure`."""
        read = self._read(answer)
        if isinstance(read, Failure) and len(self._steps) > 1:
            # Several enrichers ran; only the message can say which one failed.
            return Failure(read.kind, read.type, f"{self._steps[position].name}: {read.message}", read.retry_after)
        return read

    def outcome(self, tally: ItemResults) -> Outcome:
        """Return what the stage came to for an item of which no result is missing."""
        failures = [result for result in tally.results if isinstance(result, Failure)]
        if failures:
            return failure.severest(failures)
        if self._stage is Stage.CLASSIFY and isinstance(tally.results[0], Classification):
            return tally.results[0]
        return Enrichment({step.name: result for step, result in zip(self._steps, tally.results, strict=True)})

    def _read(self, answer: object) -> object:
        if isinstance(answer, BaseException):
            return failure.from_exception(answer)
        if self._stage is Stage.CLASSIFY:
            return validate_answer.classification(answer, self._labels)
        return validate_answer.enrichment(answer)
