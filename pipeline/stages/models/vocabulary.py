"""Which words and phrases a model knows, found in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

#: Distinct terms counted at once; about 120 bytes each.
MAX_COUNTED = 400_000

#: Longer terms are links and other noise, each of which would widen the whole array of terms in a model file.
MAX_TERM_LENGTH = 40


def frequent(
    documents: Iterable[Iterable[str]], *, at_least: int, at_most: int, max_counted: int = MAX_COUNTED
) -> list[str]:
    """Return, sorted, the up to `at_most` terms that stand in most documents, in no fewer than `at_least`.

    Where more than `max_counted` distinct terms turn up, the rarest are forgotten on the way and counted anew when they
    come back, so that memory stays bounded; counts are lower bounds then.
    Lossy counting after Manku and Motwani, "Approximate Frequency Counts over Data Streams", VLDB 2002.
    """
    counts: Counter[str] = Counter()
    for terms in documents:
        counts.update({term for term in terms if len(term) <= MAX_TERM_LENGTH})
        if len(counts) > max_counted:
            counts = _halved(counts, max_counted)
    known = [(-count, term) for term, count in counts.items() if count >= at_least]
    return sorted(term for _, term in sorted(known)[:at_most])


def _halved(counts: Counter[str], max_counted: int) -> Counter[str]:
    floor = 0
    while len(counts) > max_counted // 2:
        floor += 1
        counts = Counter({term: count for term, count in counts.items() if count > floor})
    return counts
