"""The key most like a text, without comparing it with every key."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import chain

#: Keys compared with one text at most: some milliseconds. Among a million keys that are all alike, the best may be
#: missed.
MOST_CANDIDATES = 10_000

# Keys of like length share a list, so that far longer or shorter ones are never looked at.
_BUCKET_CHARACTERS = 4

#: Characters of a key or a text that count.
_LONGEST = 500


class Neighbours:
    """Keys by the trigrams of their words; a text is compared with keys that share one of its rarest.

    Likeness is rapidfuzz's `ratio` of letters and digits without case, from 0 to 100, in the order given or with the
    words sorted, whichever is higher: "Acme, Inc." is "inc acme".

    Args:
        keys: what is searched; an answer is a position in it.
        min_score: the least likeness of an answer.

    Raises:
        ImportError: `rapidfuzz` is not installed.
    """

    def __init__(self, keys: Iterable[str], min_score: float) -> None:
        from rapidfuzz import fuzz, process, utils

        self._ratio, self._extract, self._plain = fuzz.ratio, process.extractOne, utils.default_process
        self._part = min_score / 100
        self._min_score = min_score
        self._forms = [self._form(key) for key in keys]
        # The same object where the words are sorted already, which costs nothing twice.
        self._sorted_forms = [_sorted(form) for form in self._forms]
        self._postings: dict[str, array[int]] = {}
        for at, form in enumerate(self._forms):
            bucket = _bucket(len(form))
            for gram in _grams(form):
                self._postings.setdefault(gram + bucket, array("I")).append(at)

    def nearest(self, text: str) -> tuple[int, float] | None:
        """Return (position, likeness) of the key most like `text`, or None where none reaches `min_score`."""
        form = self._form(text)
        near = list(self._candidates(form))
        found = [
            self._extract(query, [forms[at] for at in near], scorer=self._ratio, score_cutoff=self._min_score)
            for query, forms in ((form, self._forms), (_sorted(form), self._sorted_forms))
        ]
        best = max((match for match in found if match is not None), key=lambda match: match[1], default=None)
        return None if best is None else (near[best[2]], best[1])

    def _form(self, text: str) -> str:
        return " ".join(self._plain(text[:_LONGEST]).split())

    def _candidates(self, form: str) -> set[int]:
        """Return keys of a fitting length that share one of the rarest trigrams, rarest first."""
        buckets = self._buckets(len(form))
        rarest = sorted((self._with(gram, buckets) for gram in _grams(form)), key=lambda found: sum(map(len, found)))
        found: set[int] = set()
        for posting in chain.from_iterable(rarest[: self._probes(len(form))]):
            found.update(posting[: max(MOST_CANDIDATES - len(found), 0)])
        return found

    def _with(self, gram: str, buckets: list[str]) -> list[array[int]]:
        return [self._postings[gram + bucket] for bucket in buckets if gram + bucket in self._postings]

    def _buckets(self, length: int) -> list[str]:
        # `ratio` of at least `part` bounds the other length on both sides.
        least, most = length * self._part / (2 - self._part), length * (2 - self._part) / self._part
        lengths = range(int(least), min(int(most), 2 * _LONGEST) + _BUCKET_CHARACTERS, _BUCKET_CHARACTERS)
        return [_bucket(length) for length in lengths]

    def _probes(self, length: int) -> int:
        """Return how many trigrams must be tried so that a key near enough shares one of them."""
        # `ratio` allows so many insertions and deletions, and each breaks up to three trigrams.
        edits = int((1 - self._part) * length * 2 / self._part)
        return 3 * edits + 1


def _grams(form: str) -> set[str]:
    padded = (f"  {word} " for word in form.split())
    return {word[at : at + 3] for word in padded for at in range(len(word) - 2)}


def _sorted(form: str) -> str:
    joined = " ".join(sorted(form.split()))
    return form if joined == form else joined


def _bucket(length: int) -> str:
    return chr(length // _BUCKET_CHARACTERS)
