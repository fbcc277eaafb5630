"""Scores of a classifier, for people."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.cli.show.table import print_table
from pipeline.quality.score import ClassScore, Confusion

_NUMBERS = ("precision", "recall", "f1", "support")


def print_classes(classes: Sequence[ClassScore]) -> None:
    """Print precision, recall, F1 and support of each class."""
    rows = [(each.label, each.precision, each.recall, each.f1, each.support) for each in classes]
    print_table(("class", *_NUMBERS), rows, right=set(_NUMBERS))


def print_confusions(confusions: Sequence[Confusion], most: int) -> None:
    """Print which classes were taken for which, most frequent first."""
    if confusions:
        rows = [(each.truth, each.answer, each.count) for each in confusions[:most]]
        print_table(("class", "taken for", "times"), rows, right={"times"}, title="worst confusions")
