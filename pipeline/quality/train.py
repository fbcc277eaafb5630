"""Train a classifier of texts from labelled examples."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import InvalidInput
from pipeline.quality.dataset import Dataset, gather
from pipeline.quality.example import Example, data_hash
from pipeline.quality.model_card import TrainingReport, card, card_path
from pipeline.quality.score import Score, score

#: More held out than this, and too little is left to learn from.
MAX_HELD_OUT = 0.5

_PACKAGES = ("scikit-learn", "skops", "numpy", "pipeline")
_MOST_CONFUSIONS = 50


@dataclass(frozen=True, slots=True)
class _Fitted:
    model: Any
    n_terms: int
    scale: float
    score: Score


def train(
    examples: Iterable[tuple[str, str]],
    *,
    output: Path,
    held_out: float = 0.1,
    seed: int = 0,
    test: Iterable[tuple[str, str]] | None = None,
    progress: Callable[[str], None] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> TrainingReport:
    """Fit a model to (text, label) pairs and write it to `output`, with its card beside it.

    A first model learns without the share `held_out` of each class; these examples are scored, and set what confidence
    means. The model that is written is then fitted to all examples. The same examples, in any order, and the same seed
    give the same answers.

    Args:
        output: a path that ends in `.skops`; folders are made, files there are replaced at once.
        test: further examples, never trained on; where given, the written model's scores are of these.
        progress: called with what is done next, for people.

    Raises:
        InvalidInput: fewer than two classes, only single examples, an empty text or label, no words at all; a bad
            `output`, `held_out` or `seed`; or the extra `sklearn` is not installed.
    """
    started = time.perf_counter()
    tell = progress or (lambda step: None)
    _check_options(output, held_out, seed)
    linear_model = _linear()
    tell("reading examples")
    data = gather(examples, test, share=held_out, seed=seed)
    fitted = _fit(linear_model, data, seed, tell)
    tell(f"writing {output}")
    _put(output, lambda path: linear_model.write(fitted.model, path))
    report = _report(data, fitted, output=output, seed=seed, trained_at=now(), since=started)
    _put(report.card, lambda path: path.write_text(card(report), encoding="utf-8"))
    return report


def _check_options(output: Path, held_out: float, seed: int) -> None:
    if output.suffix != ".skops":
        raise InvalidInput(f"output {output}: a model file ends in .skops; try {output.with_suffix('.skops')}")
    if not 0 < held_out <= MAX_HELD_OUT:
        raise InvalidInput(f"held_out is {held_out}; give a share above 0 and up to {MAX_HELD_OUT}, such as 0.1")
    if not 0 <= seed < 2**32:
        raise InvalidInput(f"seed is {seed}; give a whole number from 0 to {2**32 - 1}")
    # Before the work, so that a path that cannot be costs no training.
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(output, error) from error
    if output.is_dir():
        raise InvalidInput(f"cannot write {output}: it is a folder; choose another output")


def _linear() -> ModuleType:
    try:
        from pipeline.stages.models import linear_model
    except ImportError as error:
        raise InvalidInput(f"training needs {error.name or error}: pip install 'pipeline[sklearn]'") from error
    return linear_model


def _fit(linear_model: ModuleType, data: Dataset, seed: int, tell: Callable[[str], None]) -> _Fitted:
    tell(f"fitting to {len(data.training):,} examples, without the {len(data.held_out):,} held out")
    draft = _model(linear_model, data.training, seed)
    scale = linear_model.confidence_scale(draft, *_columns(data.held_out))
    if data.tests is None:
        measured = _score(linear_model, draft, data.scored)
    del draft
    tell(f"fitting to all {len(data.examples):,} examples")
    model = _model(linear_model, data.examples, seed)
    linear_model.scale_confidence(model, scale)
    if data.tests is not None:
        measured = _score(linear_model, model, data.scored)
    return _Fitted(model, linear_model.n_terms(model), scale, measured)


def _model(linear_model: ModuleType, examples: Sequence[Example], seed: int) -> Any:
    try:
        return linear_model.fit(*_columns(examples), seed=seed)
    except linear_model.NoWords as error:
        raise InvalidInput("no text has a word in it; is the right column given as the text?") from error


def _score(linear_model: ModuleType, model: Any, examples: Sequence[Example]) -> Score:
    texts, truths = _columns(examples)
    found = score(truths, linear_model.answers(model, texts))
    return replace(found, confusions=found.confusions[:_MOST_CONFUSIONS])


def _columns(examples: Sequence[Example]) -> tuple[list[str], list[str]]:
    return [example.text for example in examples], [example.label for example in examples]


def _report(
    data: Dataset, fitted: _Fitted, *, output: Path, seed: int, trained_at: datetime, since: float
) -> TrainingReport:
    return TrainingReport(
        model=output,
        card=card_path(output),
        score=fitted.score,
        scored_on=data.scored_on,
        labels=data.labels,
        n_train=len(data.examples),
        n_held_out=len(data.held_out),
        n_scored=len(data.scored),
        n_terms=fitted.n_terms,
        confidence_scale=fitted.scale,
        seed=seed,
        data_hash=data_hash(data.examples),
        model_hash=_file_hash(output),
        versions=_versions(),
        warnings=data.warnings(),
        trained_at=trained_at,
        seconds=round(time.perf_counter() - since, 3),
    )


def _put(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside `path`, then rename it: readers see the old file or the new one, whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(beside)
        beside.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink()


def _unwritable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"cannot write {path}: {error.strerror or error}; choose another output")


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        # Run from a checkout that was never installed.
        return "unknown"
