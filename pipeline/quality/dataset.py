"""The examples of one training: which are learned from, which are scored, and whether they are enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.errors import InvalidInput
from pipeline.quality.example import Example, Holdout, canonical, hold_out

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Dataset:
    """All examples in canonical order, how they are split, and the test examples if there are any."""

    examples: list[Example]
    split: Holdout
    tests: list[Example] | None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({example.label for example in self.examples}))

    @property
    def training(self) -> list[Example]:
        return [self.examples[position] for position in self.split.training]

    @property
    def held_out(self) -> list[Example]:
        return [self.examples[position] for position in self.split.scored]

    @property
    def scored(self) -> list[Example]:
        return self.held_out if self.tests is None else self.tests

    @property
    def scored_on(self) -> str:
        return "held-out examples" if self.tests is None else "test examples"

    def warnings(self) -> tuple[str, ...]:
        """Return what a person should know before trusting the scores."""
        warnings = []
        if self.split.single:
            warnings.append(f"one example only, which is never held out: {_named(self.split.single)}")
        strange = tuple(sorted({example.label for example in self.scored} - set(self.labels)))
        if strange:
            warnings.append(f"in the test examples but never trained on: {_named(strange)}")
        return tuple(warnings)


def gather(
    examples: Iterable[tuple[str, str]], test: Iterable[tuple[str, str]] | None, *, share: float, seed: int
) -> Dataset:
    """Return the examples with `share` of each class held out.

    Raises:
        InvalidInput: fewer than two classes, only single examples, no test examples although some were promised, or
            an empty text or label.
    """
    found = canonical(examples)
    data = Dataset(
        examples=found,
        split=hold_out([example.label for example in found], share, seed),
        tests=None if test is None else canonical(test),
    )
    if len(data.labels) < 2:
        seen = f"all have the label {data.labels[0]!r}" if data.labels else "there are none"
        raise InvalidInput(f"a classifier needs examples of at least two classes; {seen}")
    if not data.split.scored:
        raise InvalidInput("each class has a single example, so that nothing can be held out; give at least two of one")
    if data.tests == []:
        raise InvalidInput("there are no test examples; give some, or leave them out to score held-out examples")
    return data


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return ", ".join(map(repr, labels[:_MOST_NAMED])) + more
