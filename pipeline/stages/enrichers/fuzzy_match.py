"""Finds the key most similar to a text without comparing it with every key."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import chain

from pipeline.stages.enrichers.identifying_parts import read_identifying_parts
from pipeline.stages.text.accents import remove_accents
from pipeline.stages.text.normal_form import fold
from pipeline.stages.text.word_boundaries import keep_words

#: Maximum number of keys compared with one text, to bound the time to a few milliseconds. Among a million keys that are
#: all similar, the best match may be missed.
MAX_CANDIDATES = 10_000

# Keys of similar length share a posting list, so that much longer or shorter ones are never considered.
_BUCKET_CHARACTERS = 4

#: Characters of a key or a text that are compared.
_MAX_CHARACTERS = 500


class FuzzyIndex:
    """An index of keys by the trigrams of their words; a text is compared with keys that share its rarest trigrams.

    Similarity is rapidfuzz's `ratio`, from 0 to 100, of letters and digits without case and accents. It is computed
    with the words in their original order and sorted, and the higher score counts: "Acme, Inc." equals "inc acme".
    Names with different numbers, codes or initials are never similar.

    Args:
        keys: the keys to search; results are indexes into it.
        min_score: lowest similarity of a match.

    Raises:
        ImportError: `rapidfuzz` is not installed.
    """

    def __init__(self, keys: Iterable[str], min_score: float) -> None:
        from rapidfuzz import fuzz, process

        self._ratio, self._extract = fuzz.ratio, process.extract
        self._min_ratio = min_score / 100
        self._min_score = min_score
        accented = [keep_words(fold(key[:_MAX_CHARACTERS])) for key in keys]
        self._keys = [remove_accents(key) for key in accented]
        # Most keys have no accents.
        self._accented = {index: key for index, key in enumerate(accented) if key != self._keys[index]}
        # If the words are sorted already, this is the same object and takes no extra memory.
        self._sorted_keys = [_sort_words(key) for key in self._keys]
        self._postings: dict[str, array[int]] = {}
        for index, key in enumerate(self._keys):
            bucket = _bucket(len(key))
            for trigram in _trigrams(key):
                self._postings.setdefault(trigram + bucket, array("I")).append(index)

    def find_nearest(self, text: str) -> tuple[int, float] | None:
        """Return the (index, score) of the key most similar to `text`.

        Returns None if no key reaches `min_score`, or if several are equally similar, so that none is the answer.
        """
        accented = keep_words(fold(text[:_MAX_CHARACTERS]))
        query = remove_accents(accented)
        scores = self._score_candidates(query)
        parts = read_identifying_parts(query)
        nearest: list[int] = []
        for index in sorted(scores, key=lambda index: -scores[index]):
            if nearest and scores[index] < scores[nearest[0]]:
                break
            if not parts.contradict(read_identifying_parts(self._keys[index])):
                nearest.append(index)
        if len(nearest) > 1:
            nearest = self._compare_accents(accented, nearest)
        return (nearest[0], scores[nearest[0]]) if len(nearest) == 1 else None

    def _score_candidates(self, query: str) -> dict[int, float]:
        """Return the similarity of the keys that reach `min_score`."""
        candidates = list(self._find_candidates(query))
        scores: dict[int, float] = {}
        for words, keys in ((query, self._keys), (_sort_words(query), self._sorted_keys)):
            found = self._extract(
                words,
                [keys[index] for index in candidates],
                scorer=self._ratio,
                score_cutoff=self._min_score,
                limit=None,
            )
            for _, score, position in found:
                scores[candidates[position]] = max(score, scores.get(candidates[position], 0.0))
        return scores

    def _compare_accents(self, text: str, indexes: list[int]) -> list[int]:
        """Return those of the keys that are most similar to `text` with accents."""
        scores = [self._ratio(text, self._accented.get(index, self._keys[index])) for index in indexes]
        return [index for index, score in zip(indexes, scores, strict=True) if score == max(scores)]

    def _find_candidates(self, query: str) -> set[int]:
        """Return keys of suitable length that share one of the query's rarest trigrams."""
        buckets = self._suitable_buckets(len(query))
        by_trigram = [self._find_postings(trigram, buckets) for trigram in _trigrams(query)]
        rarest = sorted(by_trigram, key=lambda postings: sum(map(len, postings)))
        candidates: set[int] = set()
        for posting in chain.from_iterable(rarest[: self._trigrams_to_try(len(query))]):
            candidates.update(posting[: max(MAX_CANDIDATES - len(candidates), 0)])
        return candidates

    def _find_postings(self, trigram: str, buckets: list[str]) -> list[array[int]]:
        return [self._postings[trigram + bucket] for bucket in buckets if trigram + bucket in self._postings]

    def _suitable_buckets(self, length: int) -> list[str]:
        # A minimum `ratio` bounds the length of the other text on both sides.
        shortest = length * self._min_ratio / (2 - self._min_ratio)
        longest = length * (2 - self._min_ratio) / self._min_ratio
        lengths = range(int(shortest), min(int(longest), 2 * _MAX_CHARACTERS) + _BUCKET_CHARACTERS, _BUCKET_CHARACTERS)
        return [_bucket(length) for length in lengths]

    def _trigrams_to_try(self, length: int) -> int:
        """Return how many trigrams to try so that every key similar enough shares one of them."""
        # The minimum `ratio` allows this many insertions and deletions, each of which breaks up to three trigrams.
        edits = int((1 - self._min_ratio) * length * 2 / self._min_ratio)
        return 3 * edits + 1


def _trigrams(text: str) -> set[str]:
    padded = (f"  {word} " for word in text.split())
    return {word[start : start + 3] for word in padded for start in range(len(word) - 2)}


def _sort_words(text: str) -> str:
    joined = " ".join(sorted(text.split()))
    return text if joined == text else joined


def _bucket(length: int) -> str:
    return chr(length // _BUCKET_CHARACTERS)
