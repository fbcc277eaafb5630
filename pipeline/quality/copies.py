"""Finds texts and labels that are copies of others, however they are written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipeline.quality.example import Example
from pipeline.stages.text.normal_form import fold
from pipeline.stages.text.word_boundaries import keep_words

#: Groups listed in one message.
MAX_LISTED = 5


def text_identity(text: str) -> str:
    """Return a text that is equal for copies: texts with the same words, regardless of case and punctuation."""
    folded = fold(text)
    return keep_words(folded) or " ".join(folded.split())


def find_conflicts(examples: Sequence[Example]) -> list[tuple[int, int]]:
    """Return, for each text with several labels, the positions of its first example and of one with another label."""
    first: dict[str, int] = {}
    conflicts: dict[str, tuple[int, int]] = {}
    for position, (text, label) in enumerate(examples):
        identity = text_identity(text)
        earlier = first.setdefault(identity, position)
        if examples[earlier].label != label:
            conflicts.setdefault(identity, (earlier, position))
    return list(conflicts.values())


def find_similar_labels(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of labels that differ only in case, white space, or how a character is written."""
    groups: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        groups[" ".join(fold(label).split())].add(label)
    return [tuple(sorted(group)) for _, group in sorted(groups.items()) if len(group) > 1]


def describe_similar_labels(labels: Iterable[str]) -> str | None:
    """Return a warning about labels that are probably one, or None."""
    groups = find_similar_labels(labels)
    if not groups:
        return None
    shown = "; ".join(" and ".join(map(repr, group)) for group in groups[:MAX_LISTED])
    more = f" and {len(groups) - MAX_LISTED} more" if len(groups) > MAX_LISTED else ""
    return f"labels that differ only in case, spaces or signs count as different: {shown}{more}"
