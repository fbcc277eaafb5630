"""Scores of a classifier as tables."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.cli.show.table import print_table
from pipeline.quality.score import ClassScore, Confusion

_NUMBERS = ("precision", "recall", "f1", "support")


def print_class_scores(scores: Sequence[ClassScore]) -> None:
    """Print precision, recall, F1 and support of each class."""
    rows = [(score.label, score.precision, score.recall, score.f1, score.support) for score in scores]
    print_table(("class", *_NUMBERS), rows, right=set(_NUMBERS))


def print_confusions(confusions: Sequence[Confusion], limit: int) -> None:
    """Print the most frequent confusions of one class with another, at most `limit`."""
    if confusions:
        rows = [(confusion.truth, confusion.answer, confusion.count) for confusion in confusions[:limit]]
        print_table(("class", "predicted", "count"), rows, right={"count"}, title="most frequent confusions")
