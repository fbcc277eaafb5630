"""Validates the answers of classifiers and enrichers; an invalid one is a permanent failure of the item."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import orjson

from pipeline.domain.did_you_mean import hint
from pipeline.domain.item import Classification
from pipeline.domain.outcome import Failure, FailureKind

#: Longest label, in characters.
MAX_LABEL_LENGTH = 500
#: Largest answer of one enricher, in bytes of JSON.
MAX_ENRICHMENT_BYTES = 256 * 1024
#: Deepest nesting of an enricher's answer.
MAX_DEPTH = 64

#: Characters of an invalid value shown in messages.
_SHOWN = 80
# Sums of float32 probabilities may lie slightly outside [0, 1]; this is rounding, not a mistake.
_ROUNDING_ERROR = 1e-6


class _InvalidAnswer(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def validate_classification(answer: object, labels: frozenset[str] | None) -> Classification | Failure:
    """Return a classifier's answer as a `Classification`, or a permanent failure.

    Args:
        answer: a label, a (label, confidence) pair, or a `Classification`. Numpy scalars are converted.
        labels: the allowed labels; None allows any.
    """
    try:
        return _classification(answer, labels)
    except Exception as error:
        return _failure(error, "invalid_answer")


def validate_enrichment(answer: object) -> dict[str, Any] | Failure:
    """Return a copy of an enricher's answer that is safe to store, or a permanent failure.

    Numbers must be finite, integers must fit in 64 bits, text must not contain NUL, and size and depth are limited.
    """
    try:
        return _enrichment(answer)
    except Exception as error:
        return _failure(error, "invalid_enrichment")


def _failure(error: Exception, code: str) -> Failure:
    # Reading a user-defined mapping may raise anything.
    if isinstance(error, _InvalidAnswer):
        return Failure(FailureKind.PERMANENT, error.code, str(error))
    return Failure(FailureKind.PERMANENT, code, f"reading the answer raised {type(error).__name__}")


def _classification(answer: object, labels: frozenset[str] | None) -> Classification:
    if isinstance(answer, Classification):
        scores = None if answer.scores is None else _scores(answer.scores)
        return Classification(_label(answer.label, labels), _confidence(answer.confidence), scores)
    if isinstance(answer, tuple):
        if len(answer) != 2:
            raise _InvalidAnswer("invalid_answer", f"expected (label, confidence), got a tuple of {len(answer)}")
        return Classification(_label(answer[0], labels), _confidence(answer[1]))
    if not isinstance(_unwrap_scalar(answer), str):
        expected = "expected a label, (label, confidence) or pipeline.Classification"
        raise _InvalidAnswer("invalid_answer", f"{expected}, got {type(answer).__name__}")
    return Classification(_label(answer, labels))


def _label(value: object, labels: frozenset[str] | None) -> str:
    value = _unwrap_scalar(value)
    if not isinstance(value, str):
        raise _InvalidAnswer("invalid_label", f"a label must be text, got {type(value).__name__}")
    label = _text(value, "invalid_label")
    if not label.strip() or len(label) > MAX_LABEL_LENGTH:
        raise _InvalidAnswer("invalid_label", f"a label must have 1 to {MAX_LABEL_LENGTH} characters and not be blank")
    if labels is not None and label not in labels:
        suggestion = hint(label, labels)
        raise _InvalidAnswer("unknown_label", f"{label[:_SHOWN]!r} is not one of the definition's labels{suggestion}")
    return label


def _confidence(value: object) -> float | None:
    if value is None:
        return None
    number = _real_number(value)
    if number is None or not -_ROUNDING_ERROR <= number <= 1 + _ROUNDING_ERROR:
        raise _InvalidAnswer("invalid_confidence", f"a confidence must be a number from 0 to 1, got {_show(value)}")
    return min(max(number, 0.0), 1.0)


def _scores(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise _InvalidAnswer("invalid_scores", f"scores must map labels to numbers, got {type(value).__name__}")
    return {_score_label(label): _score(label, score) for label, score in value.items()}


def _score_label(label: object) -> str:
    if not isinstance(label, str):
        kind = type(label).__name__
        raise _InvalidAnswer("invalid_scores", f"scores must map labels to numbers, got a key of type {kind}")
    return _text(label, "invalid_scores")


def _score(label: str, value: object) -> float:
    number = _real_number(value)
    if number is None or not math.isfinite(number):
        message = f"the score of {label[:_SHOWN]!r} must be a finite number, got {_show(value)}"
        raise _InvalidAnswer("invalid_scores", message)
    return number


def _enrichment(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        message = f"an enricher must return a JSON object (a dict), got {type(answer).__name__}"
        raise _InvalidAnswer("invalid_enrichment", message)
    copy: dict[str, Any] = _copy_json(answer, MAX_DEPTH)
    size = len(orjson.dumps(copy))
    if size > MAX_ENRICHMENT_BYTES:
        message = f"the answer has {size} bytes of JSON, the limit is {MAX_ENRICHMENT_BYTES}"
        raise _InvalidAnswer("invalid_enrichment", message)
    return copy


def _copy_json(value: object, depth: int) -> Any:
    """Return a plain copy of `value`, which later changes by user code do not affect."""
    if depth < 0:
        raise _InvalidAnswer("invalid_enrichment", f"the answer is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {_key(key): _copy_json(child, depth - 1) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_copy_json(child, depth - 1) for child in value]
    return _scalar(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise _InvalidAnswer("invalid_enrichment", f"keys of a JSON object must be text, got {type(key).__name__}")
    return _text(key, "invalid_enrichment")


def _scalar(value: object) -> Any:
    value = _unwrap_scalar(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, "invalid_enrichment")
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    allowed = "an answer may contain text, finite numbers, 64-bit integers, true, false, null, lists and objects"
    raise _InvalidAnswer("invalid_enrichment", f"{allowed}; got {_show(value)}")


def _text(value: str, code: str) -> str:
    """Return `value` as a plain string that PostgreSQL and UTF-8 can hold."""
    text = str.__str__(value)
    if "\x00" in text:
        raise _InvalidAnswer(code, "text contains a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _InvalidAnswer(code, "text contains a lone surrogate") from None
    return text


def _unwrap_scalar(value: Any) -> object:
    """Return the Python value of a numpy scalar, or `value` itself."""
    return value.item() if getattr(value, "shape", None) == () else value


def _real_number(value: object) -> float | None:
    value = _unwrap_scalar(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return float(value)


def _show(value: object) -> str:
    """Return a number as text, and only the type of anything else, because it may contain payload data."""
    scalar = _unwrap_scalar(value)
    return repr(scalar)[:_SHOWN] if isinstance(scalar, int | float) else type(value).__name__
