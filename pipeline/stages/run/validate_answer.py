"""What a classifier or an enricher may answer; anything else is the item's permanent failure."""

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
LABEL_LIMIT = 500
#: Largest answer of one enricher, in bytes of JSON.
ENRICHMENT_LIMIT = 256 * 1024
#: Deepest nesting of an enricher's answer.
DEPTH_LIMIT = 64

#: Characters of a refused value that a message repeats.
_SHOWN = 80
# Sums of float32 probabilities end a little outside [0, 1]; that is rounding, not a mistake.
_ROUNDING = 1e-6


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def classification(answer: object, labels: frozenset[str] | None) -> Classification | Failure:
    """Return the classification that `answer` means.

    Accepted: a label, (label, confidence), or `Classification`. Numpy scalars count as what they hold.
    """
    try:
        return _classification(answer, labels)
    except Exception as error:
        return _failure(error, "invalid_answer")


def enrichment(answer: object) -> dict[str, Any] | Failure:
    """Return a copy of the JSON object `answer`, safe to store: finite numbers, 64-bit integers, no NUL, bounded."""
    try:
        return _enrichment(answer)
    except Exception as error:
        return _failure(error, "invalid_enrichment")


def _failure(error: Exception, code: str) -> Failure:
    # A mapping of the user's own may raise anything while it is read.
    if isinstance(error, _Refused):
        return Failure(FailureKind.PERMANENT, error.code, str(error))
    return Failure(FailureKind.PERMANENT, code, f"reading the answer raised {type(error).__name__}")


def _classification(answer: object, labels: frozenset[str] | None) -> Classification:
    if isinstance(answer, Classification):
        scores = None if answer.scores is None else _scores(answer.scores)
        return Classification(_label(answer.label, labels), _confidence(answer.confidence), scores)
    if isinstance(answer, tuple):
        if len(answer) != 2:
            raise _Refused("invalid_answer", f"expected (label, confidence), got a tuple of {len(answer)}")
        return Classification(_label(answer[0], labels), _confidence(answer[1]))
    if not isinstance(_plain(answer), str):
        expected = "expected a label, (label, confidence) or pipeline.Classification"
        raise _Refused("invalid_answer", f"{expected}, got {type(answer).__name__}")
    return Classification(_label(answer, labels))


def _label(value: object, labels: frozenset[str] | None) -> str:
    value = _plain(value)
    if not isinstance(value, str):
        raise _Refused("invalid_label", f"a label is text, got {type(value).__name__}")
    label = _text(value, "invalid_label")
    if not label.strip() or len(label) > LABEL_LIMIT:
        raise _Refused("invalid_label", f"a label has 1 to {LABEL_LIMIT} characters and is not blank")
    if labels is not None and label not in labels:
        raise _Refused("unknown_label", f"{label[:_SHOWN]!r} is none of the definition's labels{hint(label, labels)}")
    return label


def _confidence(value: object) -> float | None:
    if value is None:
        return None
    number = _real(value)
    if number is None or not -_ROUNDING <= number <= 1 + _ROUNDING:
        raise _Refused("invalid_confidence", f"a confidence is a number from 0 to 1, got {_shown(value)}")
    return min(max(number, 0.0), 1.0)


def _scores(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise _Refused("invalid_scores", f"scores map labels to numbers, got {type(value).__name__}")
    return {_score_label(label): _score(label, score) for label, score in value.items()}


def _score_label(label: object) -> str:
    if not isinstance(label, str):
        raise _Refused("invalid_scores", f"scores map labels to numbers, got a key of type {type(label).__name__}")
    return _text(label, "invalid_scores")


def _score(label: str, value: object) -> float:
    number = _real(value)
    if number is None or not math.isfinite(number):
        raise _Refused("invalid_scores", f"the score of {label[:_SHOWN]!r} is a finite number, got {_shown(value)}")
    return number


def _enrichment(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise _Refused("invalid_enrichment", f"an enricher answers a JSON object (a dict), got {type(answer).__name__}")
    copy: dict[str, Any] = _json(answer, DEPTH_LIMIT)
    size = len(orjson.dumps(copy))
    if size > ENRICHMENT_LIMIT:
        raise _Refused("invalid_enrichment", f"the answer has {size} bytes of JSON, the limit is {ENRICHMENT_LIMIT}")
    return copy


def _json(value: object, depth: int) -> Any:
    """Return a plain copy of `value`; a copy, so that what the caller does to it later changes nothing."""
    if depth < 0:
        raise _Refused("invalid_enrichment", f"the answer is nested deeper than {DEPTH_LIMIT} levels")
    if isinstance(value, dict):
        return {_key(key): _json(child, depth - 1) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_json(child, depth - 1) for child in value]
    return _scalar(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise _Refused("invalid_enrichment", f"keys of a JSON object are text, got {type(key).__name__}")
    return _text(key, "invalid_enrichment")


def _scalar(value: object) -> Any:
    value = _plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, "invalid_enrichment")
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    expected = "JSON holds text, finite numbers, 64-bit integers, true, false, null, lists and objects"
    raise _Refused("invalid_enrichment", f"{expected}; got {_shown(value)}")


def _text(value: str, code: str) -> str:
    """Return `value` as a plain string where PostgreSQL and UTF-8 can hold it."""
    text = str.__str__(value)
    if "\x00" in text:
        raise _Refused(code, "text contains a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Refused(code, "text contains a lone surrogate") from None
    return text


def _plain(value: Any) -> object:
    """Return what a numpy scalar holds, or `value` itself."""
    return value.item() if getattr(value, "shape", None) == () else value


def _real(value: object) -> float | None:
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return float(value)


def _shown(value: object) -> str:
    """Return a number as it is and anything else by its type: it may hold what is in the payload."""
    plain = _plain(value)
    return repr(plain)[:_SHOWN] if isinstance(plain, int | float) else type(value).__name__
