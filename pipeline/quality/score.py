"""Scores of answers: accuracy; precision, recall and F1 of each class; and which classes are confused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The scores of one class, each in [0, 1], and 0.0 if the denominator is zero.

    Args:
        precision: share of the answers with this label that are correct.
        recall: share of the examples of this class that got its label.
        f1: harmonic mean of precision and recall.
        support: number of examples of this class.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` examples of class `truth` got the label `answer`."""

    truth: str
    answer: str
    count: int


@dataclass(frozen=True, slots=True)
class Score:
    """The scores over all classes.

    Args:
        accuracy: share of the examples that were answered correctly.
        macro_f1: mean F1 over the classes, with equal weight for frequent and rare ones.
        classes: the score of every label among truths and answers, sorted by label.
        confusions: wrong answers, most frequent first.
    """

    accuracy: float
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]


def score(truths: Sequence[str], answers: Sequence[str | None]) -> Score:
    """Return how well `answers` match `truths`. A missing answer (None) is wrong, but not a confusion.

    Raises:
        ValueError: there is nothing to score, or the numbers of answers and truths differ.
    """
    pairs = Counter(zip(truths, answers, strict=True))
    if not pairs:
        raise ValueError("there is nothing to score: give at least one example")
    classes = _score_classes(pairs)
    return Score(
        accuracy=sum(count for (truth, answer), count in pairs.items() if truth == answer) / pairs.total(),
        macro_f1=sum(each.f1 for each in classes) / len(classes),
        classes=classes,
        confusions=_find_confusions(pairs),
    )


def _score_classes(pairs: Counter[tuple[str, str | None]]) -> tuple[ClassScore, ...]:
    correct: Counter[str] = Counter()
    support: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for (truth, answer), count in pairs.items():
        support[truth] += count
        if answer is not None:
            answered[answer] += count
        if truth == answer:
            correct[truth] += count
    return tuple(
        ClassScore(
            label=label,
            precision=_ratio(correct[label], answered[label]),
            recall=_ratio(correct[label], support[label]),
            f1=_ratio(2 * correct[label], answered[label] + support[label]),
            support=support[label],
        )
        for label in sorted(support.keys() | answered.keys())
    )


def _find_confusions(pairs: Counter[tuple[str, str | None]]) -> tuple[Confusion, ...]:
    wrong = [
        Confusion(truth, answer, count)
        for (truth, answer), count in pairs.items()
        if answer is not None and truth != answer
    ]
    return tuple(sorted(wrong, key=lambda each: (-each.count, each.truth, each.answer)))


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 0.0
