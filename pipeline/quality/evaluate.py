"""Measure a classifier on labelled items."""

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
from pipeline.quality.score import ClassScore, Confusion, score

#: Items given to the classifier at once.
MICRO_BATCH = 64

#: The classify stage as evaluation sees it: outcomes in the order of the items.
Classify = Callable[[list[WorkItem]], list[Classification | Failure]]

_BATCH = "evaluation"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a classifier did.

    Args:
        n: items measured.
        accuracy: share of all items answered rightly; a failed item counts as wrong.
        macro_f1: mean F1 over the classes.
        classes: score of each class.
        confusions: the worst, most frequent first.
        errors: failed items by type of failure; `n_errors` is their sum.
        messages: the first message of each type of failure.
        seconds: time spent in the classifier.
    """

    n: int
    accuracy: float
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]
    errors: Mapping[str, int]
    messages: Mapping[str, str]
    seconds: float

    @property
    def n_errors(self) -> int:
        return sum(self.errors.values())


@dataclass(slots=True)
class _Seen:
    truths: list[str] = field(default_factory=list)
    answers: list[str | None] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, truth: str, outcome: Classification | Failure) -> None:
        self.truths.append(truth)
        if isinstance(outcome, Classification):
            self.answers.append(outcome.label)
        else:
            self.answers.append(None)
            self.errors[outcome.type] += 1
            self.messages.setdefault(outcome.type, outcome.message)


def evaluate(
    classify: Classify,
    labelled: Iterable[tuple[dict[str, Any], str]],
    *,
    text_of: Callable[[dict[str, Any]], str],
    most_confusions: int = 20,
    micro_batch: int = MICRO_BATCH,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Return how well `classify` answers (payload, label) pairs. Nothing is retried.

    Args:
        text_of: the text of a payload that classifiers read, as the definition says.
        progress: called with the number of items measured so far.

    Raises:
        InvalidInput: there are no labelled items.
    """
    seen = _Seen()
    for group in _groups(labelled, micro_batch):
        items = [_item(len(seen.truths) + n, payload, text_of(payload)) for n, (payload, _) in enumerate(group, 1)]
        started = time.perf_counter()
        outcomes = classify(items)
        seen.seconds += time.perf_counter() - started
        for (_, truth), outcome in zip(group, outcomes, strict=True):
            seen.add(truth, outcome)
        if progress is not None:
            progress(len(seen.truths))
    if not seen.truths:
        raise InvalidInput("there are no labelled items to measure; give at least one")
    return _evaluation(seen, most_confusions)


def _evaluation(seen: _Seen, most_confusions: int) -> Evaluation:
    found = score(seen.truths, seen.answers)
    return Evaluation(
        n=len(seen.truths),
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        classes=found.classes,
        confusions=found.confusions[:most_confusions],
        errors=dict(seen.errors.most_common()),
        messages=seen.messages,
        seconds=seen.seconds,
    )


def _groups(labelled: Iterable[tuple[dict[str, Any], str]], size: int) -> Iterator[list[tuple[dict[str, Any], str]]]:
    pairs = iter(labelled)
    while group := list(islice(pairs, size)):
        yield group


def _item(number: int, payload: dict[str, Any], text: str) -> WorkItem:
    return WorkItem(
        id=number, item_id=f"{_BATCH}-{number}", batch_id=_BATCH, key=None, payload=payload, text=text, attempt=1
    )
