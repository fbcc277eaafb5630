"""Selects the vocabulary of a model in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

#: Maximum number of distinct terms counted at the same time; each takes about 120 bytes.
MAX_COUNTED = 400_000

#: Longer terms are links and other noise, and a single one would widen the whole array of terms in a model file.
MAX_TERM_LENGTH = 40


def frequent_terms(
    documents: Iterable[Iterable[str]], *, min_documents: int, max_terms: int, max_counted: int = MAX_COUNTED
) -> list[str]:
    """Return the terms that occur in the most documents, sorted alphabetically.

    If there are more than `max_counted` distinct terms, the rarest are dropped along the way and counted from zero if
    they occur again. This bounds memory; the counts are then lower bounds.

    This is lossy counting, from Manku and Motwani, "Approximate Frequency Counts over Data Streams", VLDB 2002.

    Args:
        min_documents: in how many documents a term must occur.
        max_terms: maximum number of terms returned.
        max_counted: maximum number of distinct terms counted at the same time.
    """
    counts: Counter[str] = Counter()
    for terms in documents:
        counts.update({term for term in terms if len(term) <= MAX_TERM_LENGTH})
        if len(counts) > max_counted:
            counts = _drop_rarest(counts, max_counted)
    frequent = [(-count, term) for term, count in counts.items() if count >= min_documents]
    return sorted(term for _, term in sorted(frequent)[:max_terms])


def _drop_rarest(counts: Counter[str], max_counted: int) -> Counter[str]:
    floor = 0
    while len(counts) > max_counted // 2:
        floor += 1
        counts = Counter({term: count for term, count in counts.items() if count > floor})
    return counts
