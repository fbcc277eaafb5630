"""Trains a text classifier on labelled examples."""

from __future__ import annotations

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
from pipeline.quality.dataset import Dataset, build_dataset
from pipeline.quality.example import Example, hash_examples
from pipeline.quality.model_card import TrainingReport, card_path, render_card
from pipeline.quality.read_card import digest_key, hash_file
from pipeline.quality.score import Score, score
from pipeline.quality.trained_texts import TrainedTexts

#: Largest share of examples that may be held out, so that enough are left to train on.
MAX_HELD_OUT = 0.5

_PACKAGES = ("scikit-learn", "skops", "numpy", "pipeline")
_MAX_CONFUSIONS = 50


@dataclass(frozen=True, slots=True)
class _FittedModel:
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
    """Fit a model to (text, label) pairs and write it to `output`, with its model card next to it.

    A first model is fitted without the share `held_out` of each class. These held-out examples are used to score it and
    to calibrate confidence. The final model is then fitted to all examples. The same examples, in any order, with the
    same seed give a model with the same answers.

    Args:
        output: a path that ends in `.skops`. Missing folders are created, and existing files are replaced atomically.
        held_out: share of each class to hold out, above 0 and up to `MAX_HELD_OUT`.
        test: further examples that are never trained on. If given, the final model is scored on them instead.
        progress: called with a description of each step before it starts.

    Raises:
        InvalidInput: there are fewer than two classes, every class has only one example, a text or label is empty, or
            no text contains a word; `output`, `held_out` or `seed` is invalid; or the extra `sklearn` is not installed.
    """
    started = time.perf_counter()
    report_progress = progress or (lambda step: None)
    _check_options(output, held_out, seed)
    linear_model = _import_linear_model()
    report_progress("reading examples")
    data = build_dataset(examples, test, share=held_out, seed=seed)
    fitted = _fit_and_score(linear_model, data, seed, report_progress)
    report_progress(f"writing {output}")
    _replace_file(output, lambda path: linear_model.write_model(fitted.model, path))
    report = _build_report(data, fitted, output=output, seed=seed, trained_at=now(), started=started)
    card = render_card(report, TrainedTexts.of(data.identities, digest_key(report.data_hash)))
    _replace_file(report.card, lambda path: path.write_text(card, encoding="utf-8"))
    return report


def _check_options(output: Path, held_out: float, seed: int) -> None:
    if output.suffix != ".skops":
        raise InvalidInput(f"output {output}: a model file ends in .skops; try {output.parent / output.stem}.skops")
    if not 0 < held_out <= MAX_HELD_OUT:
        raise InvalidInput(f"held_out is {held_out}; give a share above 0 and up to {MAX_HELD_OUT}, such as 0.1")
    if not 0 <= seed < 2**32:
        raise InvalidInput(f"seed is {seed}; give a whole number from 0 to {2**32 - 1}")
    # Checked before training, so that an invalid path does not waste it.
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(output, error) from error
    if output.is_dir():
        raise InvalidInput(f"cannot write {output}: it is a folder; choose another output")


def _import_linear_model() -> ModuleType:
    try:
        from pipeline.stages.models import linear_model
    except ImportError as error:
        raise InvalidInput(f"training needs {error.name or error}: pip install 'pipeline[sklearn]'") from error
    return linear_model


def _fit_and_score(
    linear_model: ModuleType, data: Dataset, seed: int, report_progress: Callable[[str], None]
) -> _FittedModel:
    report_progress(f"fitting to {len(data.training):,} examples, with {len(data.held_out):,} held out")
    first_model = _fit_model(linear_model, data.training, seed)
    scale = linear_model.find_confidence_scale(first_model, *_split_columns(data.held_out))
    if data.tests is None:
        scores = _score_model(linear_model, first_model, data.scored)
    del first_model
    report_progress(f"fitting to all {len(data.examples):,} examples")
    model = _fit_model(linear_model, data.examples, seed)
    linear_model.scale_confidence(model, scale)
    if data.tests is not None:
        scores = _score_model(linear_model, model, data.scored)
    return _FittedModel(model, linear_model.count_terms(model), scale, scores)


def _fit_model(linear_model: ModuleType, examples: Sequence[Example], seed: int) -> Any:
    try:
        return linear_model.fit(*_split_columns(examples), seed=seed)
    except linear_model.NoWords as error:
        raise InvalidInput("no text contains a word; is the text read from the right column?") from error


def _score_model(linear_model: ModuleType, model: Any, examples: Sequence[Example]) -> Score:
    texts, truths = _split_columns(examples)
    scores = score(truths, linear_model.predict(model, texts))
    return replace(scores, confusions=scores.confusions[:_MAX_CONFUSIONS])


def _split_columns(examples: Sequence[Example]) -> tuple[list[str], list[str]]:
    return [example.text for example in examples], [example.label for example in examples]


def _build_report(
    data: Dataset, fitted: _FittedModel, *, output: Path, seed: int, trained_at: datetime, started: float
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
        data_hash=hash_examples(data.examples),
        model_hash=hash_file(output),
        versions=_versions(),
        warnings=data.warnings(),
        trained_at=trained_at,
        seconds=round(time.perf_counter() - started, 3),
    )


def _replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a temporary file and rename it to `path`, so that readers see either the old or the new content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _write_error(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"cannot write {path}: {error.strerror or error}; choose another output")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: _package_version(name) for name in _PACKAGES}


def _package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        # The package is run from a checkout without being installed.
        return "unknown"
