"""Measures a classifier on labelled items."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pipeline.domain.item import Classification, WorkItem
from pipeline.domain.outcome import Failure
from pipeline.errors import InvalidInput
from pipeline.quality.copies import describe_similar_labels
from pipeline.quality.score import ClassScore, Confusion, score

#: Items passed to the classifier at once.
MICRO_BATCH = 64

#: Runs the classify stage; returns outcomes in the order of the items.
Classify = Callable[[list[WorkItem]], list[Classification | Failure]]

_BATCH_ID = "evaluation"


#: Returns whether the classifier was trained on the text of an item.
WasTrainedOn = Callable[[WorkItem], bool]


@dataclass(frozen=True, slots=True)
class UntrainedScore:
    """How well a classifier performs on the items that it was not trained on."""

    n: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a classifier performs.

    Args:
        n: number of items measured.
        accuracy: share of items answered correctly; a failed item counts as wrong.
        macro_f1: mean F1 over the classes.
        classes: the score of each class.
        confusions: the most frequent confusions, most frequent first.
        errors: number of failed items by type of failure; `n_errors` is the sum.
        messages: the first message of each type of failure.
        seconds: time spent in the classifier.
        n_trained_on: number of items whose text the classifier was trained on, or None if that is unknown.
        untrained: the score of the others; None if `n_trained_on` is, or if there are none.
        warnings: what users should know before they trust the scores.
    """

    n: int
    accuracy: float
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]
    errors: Mapping[str, int]
    messages: Mapping[str, str]
    seconds: float
    n_trained_on: int | None
    untrained: UntrainedScore | None
    warnings: tuple[str, ...]

    @property
    def n_errors(self) -> int:
        return sum(self.errors.values())


@dataclass(slots=True)
class _Answers:
    """The answers so far, next to the true labels."""

    truths: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    trained_on: list[bool] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, truth: str, outcome: Classification | Failure) -> None:
        self.truths.append(truth)
        if isinstance(outcome, Classification):
            self.labels.append(outcome.label)
        else:
            self.labels.append(None)
            self.errors[outcome.type] += 1
            self.messages.setdefault(outcome.type, outcome.message)


def evaluate(
    classify: Classify,
    labelled: Iterable[tuple[dict[str, Any], str]],
    *,
    text_of: Callable[[dict[str, Any]], str],
    was_trained_on: WasTrainedOn | None = None,
    max_confusions: int = 20,
    micro_batch: int = MICRO_BATCH,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Return how well `classify` answers (payload, label) pairs. Failed items are not retried.

    Args:
        text_of: returns the text of a payload that the classifier reads, as set in the definition.
        was_trained_on: returns whether the classifier was trained on an item; None if that is unknown.
        max_confusions: maximum number of confusions listed.
        micro_batch: number of items passed to `classify` at once.
        progress: called with the number of items measured so far.

    Raises:
        InvalidInput: there are no labelled items.
    """
    answers = _Answers()
    for group in _split_into_groups(labelled, micro_batch):
        first = len(answers.truths) + 1
        items = [_make_item(number, payload, text_of(payload)) for number, (payload, _) in enumerate(group, first)]
        started = time.perf_counter()
        outcomes = classify(items)
        answers.seconds += time.perf_counter() - started
        for (_, truth), outcome in zip(group, outcomes, strict=True):
            answers.add(truth, outcome)
        if was_trained_on is not None:
            answers.trained_on.extend(map(was_trained_on, items))
        if progress is not None:
            progress(len(answers.truths))
    if not answers.truths:
        raise InvalidInput("there are no labelled items to measure; give at least one")
    return _build_evaluation(answers, max_confusions)


def _build_evaluation(answers: _Answers, max_confusions: int) -> Evaluation:
    scores = score(answers.truths, answers.labels)
    n_trained_on = sum(answers.trained_on) if answers.trained_on else None
    return Evaluation(
        n=len(answers.truths),
        accuracy=scores.accuracy,
        macro_f1=scores.macro_f1,
        classes=scores.classes,
        confusions=scores.confusions[:max_confusions],
        errors=dict(answers.errors.most_common()),
        messages=answers.messages,
        seconds=answers.seconds,
        n_trained_on=n_trained_on,
        untrained=None if n_trained_on is None else _score_untrained(answers),
        warnings=tuple(_warnings(answers, n_trained_on)),
    )


def _score_untrained(answers: _Answers) -> UntrainedScore | None:
    rows = zip(answers.truths, answers.labels, answers.trained_on, strict=True)
    others = [(truth, label) for truth, label, trained_on in rows if not trained_on]
    if not others:
        return None
    scores = score([truth for truth, _ in others], [label for _, label in others])
    return UntrainedScore(len(others), scores.accuracy, scores.macro_f1)


def _warnings(answers: _Answers, n_trained_on: int | None) -> Iterator[str]:
    if n_trained_on:
        n = len(answers.truths)
        yield f"{n_trained_on:,} of {n:,} examples were trained on: their answers are no measure of new texts"
    similar = describe_similar_labels({*answers.truths, *(label for label in answers.labels if label is not None)})
    if similar is not None:
        yield similar


def _split_into_groups(
    labelled: Iterable[tuple[dict[str, Any], str]], size: int
) -> Iterator[list[tuple[dict[str, Any], str]]]:
    pairs = iter(labelled)
    while group := list(islice(pairs, size)):
        yield group


def _make_item(number: int, payload: dict[str, Any], text: str) -> WorkItem:
    return WorkItem(item_id=f"{_BATCH_ID}-{number}", batch_id=_BATCH_ID, payload=payload, text=text)
