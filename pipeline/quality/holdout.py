"""Splits examples into those to train on and those held out."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HoldoutSplit:
    """The positions of the examples to train on and of those held out.

    Args:
        singletons: classes with only one text, which is trained on, so that these classes get no score.
    """

    training: tuple[int, ...]
    held_out: tuple[int, ...]
    singletons: tuple[str, ...]


def hold_out(labels: Sequence[str], identities: Sequence[str], share: float, seed: int) -> HoldoutSplit:
    """Hold out `share` of the texts of each class: at least one if there are two or more, and never all of them.

    All copies of a text are on the same side. Otherwise, a model would be scored on texts that it was fitted to.

    Args:
        labels: the class of each example.
        identities: for each example, a value that is equal for copies of its text.
    """
    texts_by_label: dict[str, list[str]] = defaultdict(list)
    for text, label in _find_main_labels(labels, identities).items():
        texts_by_label[label].append(text)
    held_out: set[str] = set()
    rng = random.Random(seed)
    for label in sorted(texts_by_label):
        texts = texts_by_label[label]
        count = min(max(round(len(texts) * share), 1), len(texts) - 1)
        held_out.update(rng.sample(texts, count))
    distinct = set(zip(labels, identities, strict=True))
    _keep_each_class(distinct, held_out)
    count_by_label = Counter(label for label, _ in distinct)
    return HoldoutSplit(
        training=tuple(position for position, text in enumerate(identities) if text not in held_out),
        held_out=tuple(position for position, text in enumerate(identities) if text in held_out),
        singletons=tuple(label for label, count in sorted(count_by_label.items()) if count == 1),
    )


def _find_main_labels(labels: Sequence[str], identities: Sequence[str]) -> dict[str, str]:
    """Return the most frequent label of each text, in the order in which the texts first occur."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for label, text in zip(labels, identities, strict=True):
        counts[text][label] += 1
    return {text: min(of_text, key=lambda label: (-of_text[label], label)) for text, of_text in counts.items()}


def _keep_each_class(distinct: set[tuple[str, str]], held_out: set[str]) -> None:
    """Return a text to training for each class all of whose texts were held out with another class."""
    trained = {label for label, text in distinct if text not in held_out}
    for label, text in sorted(distinct):
        if label not in trained:
            held_out.discard(text)
            trained |= {other for other, same in distinct if same == text}
