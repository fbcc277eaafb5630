"""The examples of a training run, split into those to train on and those to score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.errors import InvalidInput
from pipeline.quality.example import Example, HoldoutSplit, hold_out, sort_examples

#: Labels listed in one message.
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class Dataset:
    """All examples in canonical order, their split, and the separate test examples, if any."""

    examples: list[Example]
    split: HoldoutSplit
    tests: list[Example] | None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({example.label for example in self.examples}))

    @property
    def training(self) -> list[Example]:
        return [self.examples[position] for position in self.split.training]

    @property
    def held_out(self) -> list[Example]:
        return [self.examples[position] for position in self.split.held_out]

    @property
    def scored(self) -> list[Example]:
        return self.held_out if self.tests is None else self.tests

    @property
    def scored_on(self) -> str:
        return "held-out examples" if self.tests is None else "test examples"

    def warnings(self) -> tuple[str, ...]:
        """Return what users should know before they trust the scores."""
        warnings = []
        if self.split.singletons:
            warnings.append(f"only one example, so it is never held out: {_list_labels(self.split.singletons)}")
        untrained = tuple(sorted({example.label for example in self.scored} - set(self.labels)))
        if untrained:
            warnings.append(f"in the test examples, but never trained on: {_list_labels(untrained)}")
        return tuple(warnings)


def build_dataset(
    examples: Iterable[tuple[str, str]], test: Iterable[tuple[str, str]] | None, *, share: float, seed: int
) -> Dataset:
    """Hold out `share` of each class and return the dataset.

    Raises:
        InvalidInput: there are fewer than two classes, every class has only one example, `test` is empty, or a text or
            label is empty.
    """
    sorted_examples = sort_examples(examples)
    data = Dataset(
        examples=sorted_examples,
        split=hold_out([example.label for example in sorted_examples], share, seed),
        tests=None if test is None else sort_examples(test),
    )
    if len(data.labels) < 2:
        problem = f"all have the label {data.labels[0]!r}" if data.labels else "there are none"
        raise InvalidInput(f"a classifier needs examples of at least two classes; {problem}")
    if not data.split.held_out:
        raise InvalidInput("every class has only one example, so none can be held out; give at least two of one class")
    if data.tests == []:
        raise InvalidInput("there are no test examples; give some, or omit them to score held-out examples")
    return data


def _list_labels(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MAX_LISTED} more" if len(labels) > _MAX_LISTED else ""
    return ", ".join(map(repr, labels[:_MAX_LISTED])) + more
