"""Labelled examples: what a model is trained on and measured with."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.domain.outcome import strip_unstorable
from pipeline.errors import InvalidInput


class Example(NamedTuple):
    """A text and the class a person gave it."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Holdout:
    """Which examples to learn from and which to score, by position.

    Args:
        single: classes with one example; it stays in training, so nothing is known of their score.
    """

    training: tuple[int, ...]
    scored: tuple[int, ...]
    single: tuple[str, ...]


def labelled(rows: Iterable[Mapping[str, Any]], *, label: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield (row without its label, label) of each row; numbers and booleans become text.

    Raises:
        InvalidInput: a row has no such column or the label is empty; the message names column and row, from 1.
    """
    for number, row in enumerate(rows, 1):
        answer = _cell(row, label, number).strip()
        if not answer:
            raise InvalidInput(f"row {number}: column {label!r} is empty; give each row its label or leave the row out")
        yield {name: value for name, value in row.items() if name != label}, answer


def examples(rows: Iterable[Mapping[str, Any]], *, text: str, label: str) -> Iterator[Example]:
    """Yield the example of each row, reading the columns `text` and `label`.

    Raises:
        InvalidInput: a row lacks one of the columns, or its text or label is empty; with column and row, from 1.
    """
    for number, (row, answer) in enumerate(labelled(rows, label=label), 1):
        words = _cell(row, text, number)
        if not words.strip():
            raise InvalidInput(f"row {number}: column {text!r} is empty; there is nothing to learn from, leave it out")
        yield Example(words, answer)


def canonical(pairs: Iterable[tuple[str, str]]) -> list[Example]:
    """Return the examples in one order, whatever order they came in.

    Raises:
        InvalidInput: an example has an empty text or label, or a label that is not Unicode; the message names its
            position, from 1.
    """
    found = []
    for number, (text, label) in enumerate(pairs, 1):
        for part, value in (("text", text), ("label", label)):
            if not isinstance(value, str) or not value.strip():
                raise InvalidInput(f"example {number}: its {part} is empty or no text; correct it or leave it out")
        if label != strip_unstorable(label):
            raise InvalidInput(f"example {number}: label {label!r} holds NUL or half a character; correct it")
        found.append(Example(text, label))
    return sorted(found)


def data_hash(pairs: Sequence[Example]) -> str:
    """Return the SHA-256 of canonical examples: one JSON array [text, label] on a line each, escaped to ASCII."""
    digest = hashlib.sha256()
    for text, label in pairs:
        digest.update(json.dumps([text, label]).encode("ascii") + b"\n")
    return digest.hexdigest()


def hold_out(labels: Sequence[str], share: float, seed: int) -> Holdout:
    """Hold out `share` of each class, but at least one of two examples and never the only one."""
    positions: dict[str, list[int]] = defaultdict(list)
    for position, label in enumerate(labels):
        positions[label].append(position)
    scored: set[int] = set()
    rng = random.Random(seed)
    for label in sorted(positions):
        of_class = positions[label]
        count = min(max(round(len(of_class) * share), 1), len(of_class) - 1)
        scored.update(rng.sample(of_class, count))
    return Holdout(
        training=tuple(position for position in range(len(labels)) if position not in scored),
        scored=tuple(sorted(scored)),
        single=tuple(label for label, count in sorted(Counter(labels).items()) if count == 1),
    )


def _cell(row: Mapping[str, Any], column: str, number: int) -> str:
    if column not in row:
        known = ", ".join(map(repr, list(row)[:20]))
        raise InvalidInput(f"row {number} has no column {column!r}; it has {known or 'none'}")
    value = row[column]
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise InvalidInput(f"row {number}: column {column!r} holds a {type(value).__name__}; text is needed")
    return str(value)
