"""How good answers are: accuracy, precision, recall and F1 of each class, and what is confused with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class, each share in [0, 1], 0.0 where it has no denominator.

    Args:
        precision: share of the answers with this label that are right.
        recall: share of the examples of this class that were answered with it.
        f1: harmonic mean of the two.
        support: number of examples of this class.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` examples of class `truth` were answered with `answer`."""

    truth: str
    answer: str
    count: int


@dataclass(frozen=True, slots=True)
class Score:
    """All classes together.

    Args:
        accuracy: share of the examples that were answered rightly.
        macro_f1: mean F1 over the classes, each counting the same however rare it is.
        classes: every label among truths and answers, sorted.
        confusions: wrong answers, most frequent first.
    """

    accuracy: float
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]


def score(truths: Sequence[str], answers: Sequence[str | None]) -> Score:
    """Return how well `answers` fit `truths`. No answer (None) is wrong, but confuses no two classes.

    Raises:
        ValueError: nothing to score, or not one answer for each truth.
    """
    pairs = Counter(zip(truths, answers, strict=True))
    if not pairs:
        raise ValueError("there is nothing to score: give at least one example")
    classes = _classes(pairs)
    return Score(
        accuracy=sum(count for (truth, answer), count in pairs.items() if truth == answer) / pairs.total(),
        macro_f1=sum(each.f1 for each in classes) / len(classes),
        classes=classes,
        confusions=_confusions(pairs),
    )


def _classes(pairs: Counter[tuple[str, str | None]]) -> tuple[ClassScore, ...]:
    right: Counter[str] = Counter()
    support: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for (truth, answer), count in pairs.items():
        support[truth] += count
        if answer is not None:
            answered[answer] += count
        if truth == answer:
            right[truth] += count
    return tuple(
        ClassScore(
            label=label,
            precision=_share(right[label], answered[label]),
            recall=_share(right[label], support[label]),
            f1=_share(2 * right[label], answered[label] + support[label]),
            support=support[label],
        )
        for label in sorted(support.keys() | answered.keys())
    )


def _confusions(pairs: Counter[tuple[str, str | None]]) -> tuple[Confusion, ...]:
    wrong = [
        Confusion(truth, answer, count)
        for (truth, answer), count in pairs.items()
        if answer is not None and truth != answer
    ]
    return tuple(sorted(wrong, key=lambda each: (-each.count, each.truth, each.answer)))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
