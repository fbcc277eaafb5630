"""The examples of a training run, split into those to train on and those to score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.errors import InvalidInput
from pipeline.quality.copies import describe_similar_labels, find_conflicts, text_identity
from pipeline.quality.example import Example, check_examples
from pipeline.quality.holdout import HoldoutSplit, hold_out

#: Labels listed in one message.
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class Dataset:
    """The examples of a training run.

    Args:
        examples: all examples in canonical order, which does not depend on the order of the input.
        identities: their distinct texts.
        split: which of them are held out.
        conflicts: a warning about texts with different labels, or None.
        tests: separate test examples, if any.
    """

    examples: list[Example]
    identities: frozenset[str]
    split: HoldoutSplit
    conflicts: str | None
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
        found = (
            self._describe_singletons(),
            self._describe_untrained(),
            describe_similar_labels((*self.labels, *(example.label for example in self.scored))),
            self.conflicts,
            self._describe_copies(),
            self._describe_trained_tests(),
        )
        return tuple(warning for warning in found if warning is not None)

    def _describe_singletons(self) -> str | None:
        singletons = self.split.singletons
        return f"only one example, so it is never held out: {_list_labels(singletons)}" if singletons else None

    def _describe_untrained(self) -> str | None:
        untrained = tuple(sorted({example.label for example in self.scored} - set(self.labels)))
        return f"in the test examples, but never trained on: {_list_labels(untrained)}" if untrained else None

    def _describe_copies(self) -> str | None:
        count = len(self.examples) - len(self.identities)
        if not count:
            return None
        return f"{count:,} of {len(self.examples):,} examples are copies of others; copies are held out together"

    def _describe_trained_tests(self) -> str | None:
        count = sum(text_identity(example.text) in self.identities for example in self.tests or ())
        if not count:
            return None
        return f"{count:,} of {len(self.scored):,} test examples were trained on, so the scores are too high"


def build_dataset(
    pairs: Iterable[tuple[str, str]], test: Iterable[tuple[str, str]] | None, *, share: float, seed: int
) -> Dataset:
    """Hold out `share` of each class and return the dataset.

    Raises:
        InvalidInput: there are fewer than two classes, every class has only one text, `test` is empty, or a text or
            label is empty.
    """
    given = check_examples(pairs)
    examples = sorted(given)
    identities = [text_identity(example.text) for example in examples]
    data = Dataset(
        examples=examples,
        identities=frozenset(identities),
        split=hold_out([example.label for example in examples], identities, share, seed),
        conflicts=_describe_conflicts(given),
        tests=None if test is None else sorted(check_examples(test)),
    )
    if len(data.labels) < 2:
        problem = f"all have the label {data.labels[0]!r}" if data.labels else "there are none"
        raise InvalidInput(f"a classifier needs examples of at least two classes; {problem}")
    if not data.split.held_out:
        raise InvalidInput(
            "every class has only one example, not counting copies, so none can be held out; give two of one class"
        )
    if data.tests == []:
        raise InvalidInput("there are no test examples; give some, or omit them to score held-out examples")
    return data


def _describe_conflicts(examples: Sequence[Example]) -> str | None:
    conflicts = find_conflicts(examples)
    if not conflicts:
        return None
    one, other = conflicts[0]
    texts = "1 text has" if len(conflicts) == 1 else f"{len(conflicts):,} texts have"
    return (
        f"{texts} different labels, such as examples {one + 1:,} ({examples[one].label!r})"
        f" and {other + 1:,} ({examples[other].label!r})"
    )


def _list_labels(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MAX_LISTED} more" if len(labels) > _MAX_LISTED else ""
    return ", ".join(map(repr, labels[:_MAX_LISTED])) + more
