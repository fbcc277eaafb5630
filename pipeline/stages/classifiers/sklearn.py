"""`use = "sklearn"`: a model of scikit-learn that reads texts, from a skops file; `pipeline train` writes such files.

Confidence is the model's own probability of the label it answers (`predict_proba`). A model that has only decision
values answers with their softmax, which orders answers but is no probability; one that has neither has no confidence.
What `pipeline train` writes is corrected on held-out examples: of answers with confidence 0.8, about 80 % are right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pipeline.domain.item import Classification, WorkItem
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.catalog.extra import missing
from pipeline.stages.catalog.spec import ClassifySpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.text.json_path import parse, text_of

#: Types that a file may hold besides what skops itself allows, which is estimators of scikit-learn, arrays and plain
#: values. Trees stay out: a crafted one makes the process read outside its memory.
TRUSTED_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.utils._bunch.Bunch",
)

#: Labels listed under `scores`, the best first.
TOP_SCORES = 5

_PICKLES = (".pkl", ".pickle", ".joblib", ".sav")
_ADVICE = "write it with `pipeline train`, or save a fitted scikit-learn Pipeline with skops.io.dump"


class Spec(ClassifySpec):
    """`[classify]` with `use = "sklearn"`."""

    #: Path of the skops file, from the definition's folder.
    model: str = Field(min_length=1)
    #: Payload field to read instead of the item's text; dots go deeper.
    field: str | None = Field(default=None, min_length=1)

    @field_validator("field")
    @classmethod
    def _is_path(cls, field: str | None) -> str | None:
        if field is not None:
            parse(field)
        return field


def files(spec: Spec) -> tuple[str, ...]:
    """Return the path of the model."""
    return (spec.model,)


def build(spec: Spec, folder: Path) -> Step:
    """Return the classifier, its model loaded and tried.

    Raises:
        InvalidDefinition: the file is missing, damaged, a pickle, holds types that are not trusted or no classifier of
            texts, answers labels that `labels` does not list; or the extra `sklearn` is not installed.
    """
    path = folder / spec.model
    model = _load(path)
    labels = _labels(model, path)
    unknown = [label for label in labels if spec.labels is not None and label not in spec.labels]
    if unknown:
        raise InvalidDefinition(f"model {path} answers {unknown[:5]!r}, not among `labels`; add them or leave it out")
    _order_weights(model)
    answer = partial(_answers, model, labels, _scorer(model))
    _try(answer, path)
    call = partial(_classify, answer, spec.field)
    return Step("sklearn", call, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds)


def _load(path: Path) -> Any:
    if path.suffix.lower() in _PICKLES:
        raise InvalidDefinition(f"model {path} is a pickle, and loading one runs whatever code it holds; {_ADVICE}")
    if not path.is_file():
        raise InvalidDefinition(f"model {path}: no such file; `pipeline train` writes one, `model` says where it is")
    try:
        import sklearn  # noqa: F401
        from skops.io import load
        from skops.io.exceptions import UntrustedTypesFoundException
    except ImportError as error:
        raise missing("sklearn", "sklearn", error) from error
    try:
        return load(path, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise InvalidDefinition(f"model {path} is refused: {_first_line(error).rstrip('.')}; {_ADVICE}") from error
    except Exception as error:
        # A damaged or foreign file fails anywhere inside skops, in any way.
        raise InvalidDefinition(
            f"model {path} is no skops file or damaged ({_first_line(error)}); {_ADVICE}"
        ) from error


def _labels(model: Any, path: Path) -> tuple[str, ...]:
    classes: Any = getattr(model, "classes_", None)
    if not hasattr(model, "predict") or getattr(classes, "ndim", None) != 1:
        kind = type(model).__name__
        raise InvalidDefinition(f"model {path} holds a {kind}, which is no fitted classifier with classes; {_ADVICE}")
    return tuple(str(label) for label in classes)


def _order_weights(model: Any) -> None:
    import numpy as np

    last = model[-1] if hasattr(model, "steps") else model
    weights = getattr(last, "coef_", None)
    if isinstance(weights, np.ndarray) and weights.ndim == 2:
        # A sparse row times the transposed weights copies them all at each call unless columns are contiguous.
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
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _try(answer: Callable[[list[str]], Sequence[Classification]], path: Path) -> None:
    try:
        answer(["a text to try the model with"])
    except Exception as error:
        # Any estimator may stand here, and each fails in its own way when it is given what it cannot read.
        reason = f"{type(error).__name__}: {_first_line(error)}"
        advice = "save the whole Pipeline, with the step that turns texts into numbers"
        raise InvalidDefinition(f"model {path} cannot classify a text ({reason}); {advice}") from error


def _classify(
    answer: Callable[[list[str]], list[Classification]], field: str | None, items: list[WorkItem]
) -> list[Classification | Permanent]:
    texts = [_text(item, field) for item in items]
    readable = [text for text in texts if isinstance(text, str)]
    answers = iter(answer(readable) if readable else ())
    return [next(answers) if isinstance(text, str) else text for text in texts]


def _text(item: WorkItem, field: str | None) -> str | Permanent:
    try:
        return text_of(item, field)
    except Permanent as error:
        return error


def _answers(
    model: Any, labels: tuple[str, ...], scorer: Callable[[list[str]], Any] | None, texts: list[str]
) -> list[Classification]:
    if scorer is None:
        return [Classification(str(label)) for label in model.predict(texts)]
    table = scorer(texts)
    best = (-table).argsort(axis=1, kind="stable")[:, :TOP_SCORES].tolist()
    return [_classification(labels, columns, row) for columns, row in zip(best, table.tolist(), strict=True)]


def _classification(labels: tuple[str, ...], columns: list[int], row: list[float]) -> Classification:
    scores = {labels[column]: round(row[column], 4) for column in columns}
    label = labels[columns[0]]
    return Classification(label, scores[label], scores)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
