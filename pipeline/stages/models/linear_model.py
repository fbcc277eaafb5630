"""The model that `train` makes: TF-IDF of words and pairs of words, and one linear separator for each class.

Needs the extra `sklearn`: importing this module raises ImportError without it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline

from pipeline.stages.models.vocabulary import frequent

#: Terms of a model at most, and terms times classes: one float32 each, hence 24 MB.
MAX_TERMS = 150_000
MAX_WEIGHTS = 6_000_000

#: From so many examples on, a term must stand in two of them; below, every word counts (measured: +0.2 to +2 points).
LARGE = 20_000

#: Fewer scored examples say too little about confidence to correct it.
ENOUGH_TO_SCALE = 50

# One-letter words count, "I" among them: +0.1 points on questions of bank customers, and they cost nothing.
_WORDS = {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b", "dtype": np.float32}

# Regularisation: the product with the number of examples that was best or near it from 40 to 54,000 examples.
_ALPHA_TIMES_EXAMPLES = 0.05
_ALPHA_RANGE = (5e-7, 1e-4)

_SCALES = np.geomspace(0.5, 4.0, 30)
_LEAST_PROBABILITY = 1e-6


class NoWords(ValueError):
    """No text has a word in it."""


def fit(texts: Sequence[str], labels: Sequence[str], *, seed: int) -> Pipeline:
    """Return a model fitted to `texts`. The same texts in the same order and the same seed give the same model.

    Raises:
        NoWords: no text has a word in it.
    """
    terms = _terms(texts, n_classes=len(set(labels)))
    if not terms:
        raise NoWords
    # The terms are given as an array since skops stores a dictionary entry by entry: 4 times the file, 5 times as slow.
    steps = [
        ("words", CountVectorizer(vocabulary=np.array(terms), **_WORDS)),
        ("weights", TfidfTransformer(sublinear_tf=True)),
        ("classes", SGDClassifier(loss="log_loss", alpha=_alpha(len(texts)), random_state=seed)),
    ]
    return Pipeline(steps).fit(texts, labels)


def answers(model: Pipeline, texts: Sequence[str]) -> list[str]:
    """Return the model's label for each text."""
    return [str(label) for label in model.predict(texts)]


def confidence_scale(model: Pipeline, texts: Sequence[str], labels: Sequence[str]) -> float:
    """Return the factor to the weights with which confidence fits best how often answers to unseen texts are right.

    The separators are fitted one by one, so that the chances they give together are too low (measured on 77 classes:
    by 0.13 on average, with the factor by 0.02). The factor changes no answer.
    """
    if len(texts) < ENOUGH_TO_SCALE:
        return 1.0
    decisions = np.asarray(model.decision_function(texts), dtype=np.float64)
    if decisions.ndim == 1:
        decisions = np.column_stack([-decisions, decisions])
    truths = np.searchsorted(model.classes_, labels)
    losses = [_loss(decisions * scale, truths) for scale in _SCALES]
    return round(float(_SCALES[int(np.argmin(losses))]), 4)


def scale_confidence(model: Pipeline, factor: float) -> None:
    """Multiply the model's weights by `factor`."""
    separators = model[-1]
    separators.coef_ *= np.float32(factor)
    separators.intercept_ *= factor


def write(model: Pipeline, path: Path) -> None:
    """Write the model as a skops file."""
    # What it holds is derived from the array of terms, and comes back with the first text.
    vars(model[0]).pop("vocabulary_", None)
    skops.io.dump(model, path, compression=zipfile.ZIP_DEFLATED, compresslevel=6)


def n_terms(model: Pipeline) -> int:
    """Return how many words and pairs of words the model knows."""
    return len(model[0].vocabulary)


def _terms(texts: Sequence[str], n_classes: int) -> list[str]:
    analyze = CountVectorizer(**_WORDS).build_analyzer()
    return frequent(
        (analyze(text) for text in texts),
        at_least=2 if len(texts) >= LARGE else 1,
        at_most=min(MAX_TERMS, MAX_WEIGHTS // n_classes),
    )


def _alpha(n_examples: int) -> float:
    least, most = _ALPHA_RANGE
    return min(max(_ALPHA_TIMES_EXAMPLES / n_examples, least), most)


def _loss(decisions: NDArray[np.float64], truths: NDArray[Any]) -> float:
    # tanh: the logistic function without overflow.
    chances = 0.5 * (1.0 + np.tanh(decisions / 2.0))
    of_truth = chances[np.arange(len(truths)), truths] / np.maximum(chances.sum(axis=1), _LEAST_PROBABILITY)
    return float(-np.log(np.maximum(of_truth, _LEAST_PROBABILITY)).mean())
