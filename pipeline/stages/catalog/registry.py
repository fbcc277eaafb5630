"""The registry of classifiers and enrichers, by the name in `use`."""

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


class _StageModule(Protocol):
    Spec: type[StageSpec]

    def build(self, spec: StageSpec, folder: Path) -> Step: ...

    def files(self, spec: StageSpec) -> tuple[str, ...]: ...


def builtin_names(stage: Stage) -> tuple[str, ...]:
    """Return the names of the built-in classifiers or enrichers."""
    return _BUILTINS[stage][1]


def spec_type(stage: Stage, use: object) -> type[StageSpec] | None:
    """Return the model of a `[classify]` or `[[enrich]]` table, or None if `use` is not a known name."""
    if not isinstance(use, str):
        return None
    if use in builtin_names(stage):
        return _load_builtin(stage, use).Spec
    if callables.is_callable_name(use):
        return callables.Classifier if stage is Stage.CLASSIFY else callables.Enricher
    return None


def parse_spec(stage: Stage, table: Mapping[str, Any]) -> StageSpec:
    """Return the spec in a `[classify]` or `[[enrich]]` table.

    Raises:
        ValidationError: from pydantic; locations are relative to the table.
    """
    model = spec_type(stage, table.get("use"))
    if model is None:
        raise _unknown_use(stage, table)
    return model.model_validate(table)


def answer_name(spec: StageSpec) -> str:
    """Return the key of an enricher's answer under `enrichment`, or the name of a classifier in messages."""
    chosen = spec.name if isinstance(spec, EnrichSpec) else None
    return chosen or callables.short_name(spec.use)


def files(stage: Stage, spec: StageSpec) -> tuple[str, ...]:
    """Return the paths of the files that `spec` uses and a definition pins, relative to the definition's folder."""
    return _load_builtin(stage, spec.use).files(spec) if spec.use in builtin_names(stage) else ()


def build_steps(stage: Stage, specs: Sequence[StageSpec], folder: Path, pins: Mapping[str, str]) -> tuple[Step, ...]:
    """Build the steps of a stage, ready to run: with models loaded and callables imported.

    Args:
        folder: the definition's folder, absolute.
        pins: the SHA-256 of each file that the specs use, by absolute path.

    Raises:
        InvalidDefinition: a file has changed, a callable cannot be imported, or an extra is not installed.
    """
    return tuple(_build_step(stage, spec, folder, pins) for spec in specs)


def _build_step(stage: Stage, spec: StageSpec, folder: Path, pins: Mapping[str, str]) -> Step:
    if spec.use not in builtin_names(stage):
        return replace(callables.build(spec, folder), name=answer_name(spec))
    file_pins.check_pins(folder, files(stage, spec), pins)
    return replace(_load_builtin(stage, spec.use).build(spec, folder), name=answer_name(spec))


def _load_builtin(stage: Stage, use: str) -> _StageModule:
    # Imported on demand, so that a worker loads only what its definitions use.
    return cast(_StageModule, importlib.import_module(f"{_BUILTINS[stage][0]}.{use}"))


def _unknown_use(stage: Stage, table: Mapping[str, Any]) -> ValidationError:
    use = table.get("use")
    expected = f'{", ".join(builtin_names(stage))} or "module:callable"'
    if use is None:
        error = PydanticCustomError("missing", "Field required: {expected}", {"expected": expected})
    else:
        context = {"expected": expected, "suggestion": hint(str(use), builtin_names(stage))}
        error = PydanticCustomError("unknown_use", "expected {expected}{suggestion}", context)
    return ValidationError.from_exception_data("use", [InitErrorDetails(type=error, loc=("use",), input=use)])
