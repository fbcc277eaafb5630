"""Labelled examples, to train a model on and to measure it with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.domain.did_you_mean import list_names
from pipeline.domain.outcome import strip_unstorable
from pipeline.errors import InvalidInput


class Example(NamedTuple):
    """A text and the label that a person gave it."""

    text: str
    label: str


def read_labelled_rows(rows: Iterable[Mapping[str, Any]], *, label: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield (row without its label, label) for each row; labels that are numbers or booleans become text.

    Raises:
        InvalidInput: a row lacks the column `label`, or its label is empty; the message names the column and the row,
            counted from 1.
    """
    for number, row in enumerate(rows, 1):
        answer = _read_cell(row, label, number).strip()
        if not answer:
            raise InvalidInput(f"row {number}: column {label!r} is empty; add the label or remove the row")
        yield {name: value for name, value in row.items() if name != label}, answer


def read_examples(rows: Iterable[Mapping[str, Any]], *, text: str, label: str) -> Iterator[Example]:
    """Yield an example for each row, from the columns `text` and `label`.

    Raises:
        InvalidInput: a row lacks one of the columns, or its text or label is empty; the message names the column and
            the row, counted from 1.
    """
    for number, (row, answer) in enumerate(read_labelled_rows(rows, label=label), 1):
        content = _read_cell(row, text, number)
        if not content.strip():
            raise InvalidInput(f"row {number}: column {text!r} is empty; add the text or remove the row")
        yield Example(content, answer)


def check_examples(pairs: Iterable[tuple[str, str]]) -> list[Example]:
    """Return the examples in the given order.

    Raises:
        InvalidInput: an example has an empty text or label, or a label that cannot be stored; the message names its
            position, counted from 1.
    """
    examples = []
    for number, (text, label) in enumerate(pairs, 1):
        for part, value in (("text", text), ("label", label)):
            if not isinstance(value, str) or not value.strip():
                raise InvalidInput(f"example {number}: its {part} is empty or not text; correct or remove it")
        if label != strip_unstorable(label):
            raise InvalidInput(f"example {number}: label {label!r} contains NUL or a lone surrogate; correct it")
        examples.append(Example(text, label))
    return examples


def hash_examples(examples: Sequence[Example]) -> str:
    """Return the SHA-256 of the sorted examples as lines of JSON arrays [text, label], escaped to ASCII."""
    digest = hashlib.sha256()
    for text, label in sorted(examples):
        digest.update(json.dumps([text, label]).encode("ascii") + b"\n")
    return digest.hexdigest()


def _read_cell(row: Mapping[str, Any], column: str, number: int) -> str:
    if column not in row:
        raise InvalidInput(f"row {number} has no column {column!r}; it has {list_names(row)}")
    value = row[column]
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise InvalidInput(f"row {number}: column {column!r} contains a {type(value).__name__}; it must be text")
    return str(value)
