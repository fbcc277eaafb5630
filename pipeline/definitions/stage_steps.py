"""Builds the steps of a definition's stages, and the runners for them."""

from __future__ import annotations

from pipeline.definitions.definition import Definition, stage_specs
from pipeline.domain.item import Stage
from pipeline.stages.catalog import registry
from pipeline.stages.catalog.step import Step
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner


def build_runner(definition: Definition, stage: Stage, executor: Executor, steps: tuple[Step, ...] = ()) -> StageRunner:
    """Return the runner of a stage, with models loaded and callables imported.

    This is slow; keep the runner for the life of the process.

    Args:
        steps: the stage's steps, if `build_steps` was called before.

    Raises:
        InvalidDefinition: a file has changed, a callable cannot be imported, or an extra is not installed.
    """
    steps = steps or build_steps(definition, stage)
    return StageRunner(stage, steps, executor, labels=definition.classify.labels if stage is Stage.CLASSIFY else None)


def build_steps(definition: Definition, stage: Stage) -> tuple[Step, ...]:
    """Build the steps of a stage, ready to run. This is the slow part of `build_runner`.

    Raises:
        InvalidDefinition: as for `build_runner`.
    """
    return registry.build_steps(stage, stage_specs(definition, stage), definition.folder, definition.files)
