"""Which classifiers and enrichers there are, by the name that `use` gives them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from pipeline.domain.did_you_mean import hint
from pipeline.domain.item import Stage
from pipeline.stages.catalog import callables, file_pins
from pipeline.stages.catalog.spec import EnrichSpec, StageSpec
from pipeline.stages.catalog.step import Step

_BUILTINS: Mapping[Stage, tuple[str, tuple[str, ...]]] = {
    Stage.CLASSIFY: ("pipeline.stages.classifiers", ("keywords", "sklearn")),
    Stage.ENRICH: ("pipeline.stages.enrichers", ("language", "contacts", "lookup", "http")),
}


class _Module(Protocol):
    Spec: type[StageSpec]

    def build(self, spec: StageSpec, folder: Path) -> Step: ...

    def files(self, spec: StageSpec) -> tuple[str, ...]: ...


def names(stage: Stage) -> tuple[str, ...]:
    """Return the names of the classifiers or enrichers that come with pipeline."""
    return _BUILTINS[stage][1]


def spec_type(stage: Stage, use: object) -> type[StageSpec] | None:
    """Return the model of a `[classify]` or `[[enrich]]` table; None where `use` names nothing."""
    if not isinstance(use, str):
        return None
    if use in names(stage):
        return _module(stage, use).Spec
    if callables.is_callable_name(use):
        return callables.Classifier if stage is Stage.CLASSIFY else callables.Enricher
    return None


def parse(stage: Stage, table: Mapping[str, Any]) -> StageSpec:
    """Return the spec that a `[classify]` or `[[enrich]]` table states.

    Raises:
        ValidationError: of pydantic, with the table's fields as locations.
    """
    model = spec_type(stage, table.get("use"))
    if model is None:
        raise _unknown_use(stage, table)
    return model.model_validate(table)


def answer_name(spec: StageSpec) -> str:
    """Return the key of an enricher's answer under `enrichment`, or what messages call a classifier."""
    stated = spec.name if isinstance(spec, EnrichSpec) else None
    return stated or callables.short_name(spec.use)


def files(stage: Stage, spec: StageSpec) -> tuple[str, ...]:
    """Return the files that `spec` names and a definition pins, relative to its folder."""
    return _module(stage, spec.use).files(spec) if spec.use in names(stage) else ()


def build(stage: Stage, specs: Sequence[StageSpec], folder: Path, pinned: Mapping[str, str]) -> tuple[Step, ...]:
    """Return the steps of a stage, ready to run: models loaded, callables imported.

    Args:
        folder: the definition's folder, absolute.
        pinned: SHA-256 of each file that the specs name, by absolute path.

    Raises:
        InvalidDefinition: a file has changed, a callable cannot be imported, or an extra is not installed.
    """
    return tuple(_build(stage, spec, folder, pinned) for spec in specs)


def _build(stage: Stage, spec: StageSpec, folder: Path, pinned: Mapping[str, str]) -> Step:
    if spec.use not in names(stage):
        return replace(callables.build(spec, folder), name=answer_name(spec))
    file_pins.check(folder, files(stage, spec), pinned)
    return replace(_module(stage, spec.use).build(spec, folder), name=answer_name(spec))


def _module(stage: Stage, use: str) -> _Module:
    # By name: a worker loads only the kinds that its definitions use.
    return cast(_Module, importlib.import_module(f"{_BUILTINS[stage][0]}.{use}"))


def _unknown_use(stage: Stage, table: Mapping[str, Any]) -> ValidationError:
    use = table.get("use")
    expected = f'{", ".join(names(stage))} or "module:callable"'
    if use is None:
        problem = PydanticCustomError("missing", "Field required: {expected}", {"expected": expected})
    else:
        near = hint(str(use), names(stage))
        problem = PydanticCustomError("unknown_use", "expected {expected}{near}", {"expected": expected, "near": near})
    return ValidationError.from_exception_data("use", [InitErrorDetails(type=problem, loc=("use",), input=use)])
