"""The results of an item's steps, and the outcome they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.domain.item import Classification, Enrichment, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.stages.catalog.step import Step
from pipeline.stages.run import failure, validate_answer


class ItemResults:
    """An item and the results of its steps so far.

    Attributes:
        pending: how many results are still to come.
        has_failed: whether a step has failed permanently, so that no other step can change the outcome.
    """

    __slots__ = ("has_failed", "item", "pending", "results")

    def __init__(self, item: WorkItem, steps: int) -> None:
        self.item = item
        self.pending = steps
        self.results: list[object] = [None] * steps
        self.has_failed = False

    def set_result(self, position: int, result: object) -> None:
        """Store the result of the step at `position`."""
        self.results[position] = result
        self.pending -= 1
        if isinstance(result, Failure) and result.kind is FailureKind.PERMANENT:
            self.has_failed = True


class AnswerReader:
    """Validates the answers of a stage's steps and combines them into outcomes.

    Args:
        labels: the labels that a classifier may return; None allows any.
    """

    def __init__(self, stage: Stage, steps: Sequence[Step], labels: frozenset[str] | None) -> None:
        self._stage = stage
        self._steps = steps
        self._labels = labels

    def read(self, position: int, answer: object) -> object:
        """Return the valid answer of the step at `position`, or a `Failure`."""
        result = self._validate(answer)
        if isinstance(result, Failure) and self._stage is Stage.ENRICH:
            # Only the message can say which enricher failed.
            return replace(result, message=f"{self._steps[position].name}: {result.message}")
        return result

    def combine(self, item: ItemResults) -> Outcome:
        """Return the outcome of the stage for an item with no pending results."""
        failures = [result for result in item.results if isinstance(result, Failure)]
        if failures:
            return failure.most_severe(failures)
        if self._stage is Stage.CLASSIFY and isinstance(item.results[0], Classification):
            return item.results[0]
        return Enrichment({step.name: result for step, result in zip(self._steps, item.results, strict=True)})

    def _validate(self, answer: object) -> object:
        if isinstance(answer, BaseException):
            return failure.from_exception(answer)
        if self._stage is Stage.CLASSIFY:
            return validate_answer.validate_classification(answer, self._labels)
        return validate_answer.validate_enrichment(answer)
