"""The model that `pipeline train` fits: TF-IDF of words and word pairs, with one linear classifier per class.

Needs the extra `sklearn`; importing this module raises ImportError without it.
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

from pipeline.stages.models.text_form import prepare_texts, set_text_form
from pipeline.stages.models.vocabulary import frequent_terms
from pipeline.stages.text.normal_form import fold

#: Maximum number of terms of a model.
MAX_TERMS = 150_000
#: Maximum number of weights, which are terms times classes; each is a float32, so they take up to 24 MB.
MAX_WEIGHTS = 6_000_000

#: With this many examples or more, a term must occur in two of them. With fewer, every term is kept, which gains 0.2 to
#: 2 points of accuracy (measured).
LARGE_DATASET = 20_000

#: With fewer scored examples, confidence is not calibrated.
MIN_CALIBRATION_EXAMPLES = 50

# One-letter words such as "I" are included: they gain 0.1 points on bank customers' questions, and cost nothing.
_VECTORIZER_OPTIONS = {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b", "dtype": np.float32}

# Regularization: alpha times the number of examples. This value was best or close to it from 40 to 54,000 examples.
_ALPHA_TIMES_EXAMPLES = 0.05
_ALPHA_RANGE = (5e-7, 1e-4)

_SCALES = np.geomspace(0.5, 4.0, 30)
_MIN_PROBABILITY = 1e-6


class NoWords(ValueError):
    """None of the texts contains a word."""


def fit(texts: Sequence[str], labels: Sequence[str], *, seed: int) -> Pipeline:
    """Return a model fitted to `texts`. The same texts in the same order and the same seed give the same model.

    It takes texts for the same that a reader considers equal, however they are written.

    Raises:
        NoWords: none of the texts contains a word.
    """
    readable = [fold(text) for text in texts]
    terms = _select_terms(readable, n_classes=len(set(labels)))
    if not terms:
        raise NoWords
    # An array, because skops stores a dictionary entry by entry: the file would be 4 times larger and 5 times slower.
    steps = [
        ("words", CountVectorizer(vocabulary=np.array(terms), **_VECTORIZER_OPTIONS)),
        ("weights", TfidfTransformer(sublinear_tf=True)),
        ("classes", SGDClassifier(loss="log_loss", alpha=_alpha(len(texts)), random_state=seed)),
    ]
    model = Pipeline(steps).fit(readable, labels)
    set_text_form(model)
    return model


def predict(model: Pipeline, texts: Sequence[str]) -> list[str]:
    """Return the model's label for each text."""
    return [str(label) for label in model.predict(prepare_texts(model, texts))]


def find_confidence_scale(model: Pipeline, texts: Sequence[str], labels: Sequence[str]) -> float:
    """Return the factor for the weights that calibrates confidence best: the one with the lowest log loss.

    The classifiers of the classes are fitted independently, so their combined probabilities are too low: on average by
    0.13, measured with 77 classes, and with the factor by 0.02. The factor does not change any label.

    Args:
        texts: texts that the model was not fitted to.
        labels: their correct labels.
    """
    if len(texts) < MIN_CALIBRATION_EXAMPLES:
        return 1.0
    decisions = np.asarray(model.decision_function(prepare_texts(model, texts)), dtype=np.float64)
    if decisions.ndim == 1:
        decisions = np.column_stack([-decisions, decisions])
    truths = np.searchsorted(model.classes_, labels)
    losses = [_log_loss(decisions * scale, truths) for scale in _SCALES]
    return round(float(_SCALES[int(np.argmin(losses))]), 4)


def scale_confidence(model: Pipeline, factor: float) -> None:
    """Multiply the model's weights by `factor`."""
    classifier = model[-1]
    classifier.coef_ *= np.float32(factor)
    classifier.intercept_ *= factor


def write_model(model: Pipeline, path: Path) -> None:
    """Write the model to a skops file."""
    # A cache derived from the array of terms; the first prediction rebuilds it.
    vars(model[0]).pop("vocabulary_", None)
    skops.io.dump(model, path, compression=zipfile.ZIP_DEFLATED, compresslevel=6)


def count_terms(model: Pipeline) -> int:
    """Return how many terms (words and word pairs) the model knows."""
    return len(model[0].vocabulary)


def _select_terms(texts: Sequence[str], n_classes: int) -> list[str]:
    analyze = CountVectorizer(**_VECTORIZER_OPTIONS).build_analyzer()
    return frequent_terms(
        (analyze(text) for text in texts),
        min_documents=2 if len(texts) >= LARGE_DATASET else 1,
        max_terms=min(MAX_TERMS, MAX_WEIGHTS // n_classes),
    )


def _alpha(n_examples: int) -> float:
    lowest, highest = _ALPHA_RANGE
    return min(max(_ALPHA_TIMES_EXAMPLES / n_examples, lowest), highest)


def _log_loss(decisions: NDArray[np.float64], truths: NDArray[Any]) -> float:
    # The logistic function, written with tanh so that it cannot overflow.
    probabilities = 0.5 * (1.0 + np.tanh(decisions / 2.0))
    totals = np.maximum(probabilities.sum(axis=1), _MIN_PROBABILITY)
    of_truth = probabilities[np.arange(len(truths)), truths] / totals
    return float(-np.log(np.maximum(of_truth, _MIN_PROBABILITY)).mean())
