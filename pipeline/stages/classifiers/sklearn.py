"""`use = "sklearn"`: a scikit-learn text classifier in a skops file, such as those that `pipeline train` writes.

The confidence of an answer is the model's own probability for it (`predict_proba`). A model with only decision values
gets their softmax, which ranks answers but is not a probability; one with neither has no confidence. Models written by
`pipeline train` are calibrated on held-out examples: of the answers with confidence 0.8, about 80 % are correct.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.domain.item import Classification, WorkItem
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.catalog.missing_extra import missing_extra
from pipeline.stages.catalog.spec import ClassifySpec, FieldPath
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.models.text_form import UnknownTextForm, prepare_texts
from pipeline.stages.text.json_path import get_text

#: Types that a file may contain beyond those skops allows itself (scikit-learn estimators, arrays and plain values).
#: Trees are not allowed: a crafted one makes the process read memory out of bounds.
TRUSTED_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.utils._bunch.Bunch",
)

#: How many labels are listed under `scores`, best first.
TOP_SCORES = 5

_PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".sav")
_ADVICE = "write it with `pipeline train`, or save a fitted scikit-learn Pipeline with skops.io.dump"


class Spec(ClassifySpec):
    """`[classify]` with `use = "sklearn"`."""

    #: Path of the skops file, relative to the definition's folder.
    model: str = Field(min_length=1)
    #: Payload field to read instead of the item's text; dots reach nested fields.
    field: FieldPath | None = None


def files(spec: Spec) -> tuple[str, ...]:
    """Return the path of the model."""
    return (spec.model,)


def build(spec: Spec, folder: Path) -> Step:
    """Build the classifier: load its model and try it once.

    Raises:
        InvalidDefinition: the file is missing, damaged or a pickle; contains untrusted types or no text classifier; can
            answer labels that are not in `labels`; or the extra `sklearn` is not installed.
    """
    path = folder / spec.model
    model = _load_model(path)
    labels = _labels(model, path)
    unknown = [label for label in labels if spec.labels is not None and label not in spec.labels]
    if unknown:
        raise InvalidDefinition(f"model {path} answers {unknown[:5]!r}, not among `labels`; add them or omit `labels`")
    _make_weights_contiguous(model)
    predict = partial(_predict, model, labels, _scorer(model))
    _check_predict(predict, path)
    call = partial(_classify, predict, spec.field)
    return Step("sklearn", call, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds)


def _load_model(path: Path) -> Any:
    if path.suffix.lower() in _PICKLE_SUFFIXES:
        raise InvalidDefinition(f"model {path} is a pickle, and loading a pickle runs any code it contains; {_ADVICE}")
    if not path.is_file():
        raise InvalidDefinition(f"model {path}: no such file; write one with `pipeline train`, or correct `model`")
    try:
        import sklearn  # noqa: F401
        from skops.io import load
        from skops.io.exceptions import UntrustedTypesFoundException
    except ImportError as error:
        raise missing_extra("sklearn", "sklearn", error) from error
    try:
        return load(path, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise InvalidDefinition(f"model {path} is rejected: {_first_line(error).rstrip('.')}; {_ADVICE}") from error
    except Exception as error:
        # Loading a file that is damaged or of another format may raise any exception inside skops.
        raise InvalidDefinition(
            f"model {path} is damaged or not a skops file ({_first_line(error)}); {_ADVICE}"
        ) from error


def _labels(model: Any, path: Path) -> tuple[str, ...]:
    classes: Any = getattr(model, "classes_", None)
    if not hasattr(model, "predict") or getattr(classes, "ndim", None) != 1:
        kind = type(model).__name__
        raise InvalidDefinition(f"model {path} contains a {kind}, which is not a fitted classifier; {_ADVICE}")
    return tuple(str(label) for label in classes)


def _make_weights_contiguous(model: Any) -> None:
    import numpy as np

    last = model[-1] if hasattr(model, "steps") else model
    weights = getattr(last, "coef_", None)
    if isinstance(weights, np.ndarray) and weights.ndim == 2:
        # Unless columns are contiguous, each product of a sparse row and the transposed weights copies all weights.
        last.coef_ = np.asfortranarray(weights)


def _scorer(model: Any) -> Callable[[list[str]], Any] | None:
    if hasattr(model, "predict_proba"):
        return lambda texts: model.predict_proba(texts)
    if hasattr(model, "decision_function"):
        return lambda texts: _softmax(model.decision_function(texts))
    return None


def _softmax(decisions: Any) -> Any:
    import numpy as np

    values = np.asarray(decisions, dtype=np.float64)
    if values.ndim == 1:
        values = np.column_stack([np.zeros_like(values), values])
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _check_predict(predict: Callable[[list[str]], Sequence[Classification]], path: Path) -> None:
    try:
        predict(["a text to try the model with"])
    except UnknownTextForm as error:
        raise InvalidDefinition(
            f"model {path} was written by a later version of pipeline: {error}; upgrade, or train it again"
        ) from error
    except Exception as error:
        # The model may be any estimator, and may raise anything for input that it cannot read.
        reason = f"{type(error).__name__}: {_first_line(error)}"
        advice = "save the whole Pipeline, including the step that turns texts into numbers"
        raise InvalidDefinition(f"model {path} cannot classify a text ({reason}); {advice}") from error


def _classify(
    predict: Callable[[list[str]], list[Classification]], field: str | None, items: list[WorkItem]
) -> list[Classification | Permanent]:
    texts = [_text_or_error(item, field) for item in items]
    readable = [text for text in texts if isinstance(text, str)]
    answers = iter(predict(readable) if readable else ())
    return [next(answers) if isinstance(text, str) else text for text in texts]


def _text_or_error(item: WorkItem, field: str | None) -> str | Permanent:
    try:
        return get_text(item, field)
    except Permanent as error:
        return error


def _predict(
    model: Any, labels: tuple[str, ...], scorer: Callable[[list[str]], Any] | None, texts: list[str]
) -> list[Classification]:
    texts = prepare_texts(model, texts)
    if scorer is None:
        return [Classification(str(label)) for label in model.predict(texts)]
    scores = scorer(texts)
    best = (-scores).argsort(axis=1, kind="stable")[:, :TOP_SCORES].tolist()
    return [_classification(labels, columns, row) for columns, row in zip(best, scores.tolist(), strict=True)]


def _classification(labels: tuple[str, ...], columns: list[int], row: list[float]) -> Classification:
    scores = {labels[column]: round(row[column], 4) for column in columns}
    label = labels[columns[0]]
    return Classification(label, scores[label], scores)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
