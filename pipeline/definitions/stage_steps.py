"""What a definition needs to run: the steps of each stage, and what runs them."""

from __future__ import annotations

from pipeline.definitions.definition import Definition, specs_of
from pipeline.domain.item import Stage
from pipeline.stages.catalog import registry
from pipeline.stages.catalog.step import Step
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner


def runner_of(definition: Definition, stage: Stage, executor: Executor, steps: tuple[Step, ...] = ()) -> StageRunner:
    """Return the runner of a stage: models loaded, callables imported. Slow; keep it for the process's life.

    Args:
        steps: what `steps_of` returned, if it was called before.

    Raises:
        InvalidDefinition: a file has changed, a callable cannot be imported, or an extra is not installed.
    """
    steps = steps or steps_of(definition, stage)
    return StageRunner(stage, steps, executor, labels=definition.classify.labels if stage is Stage.CLASSIFY else None)


def steps_of(definition: Definition, stage: Stage) -> tuple[Step, ...]:
    """Return the steps of a stage, ready to run, which is the slow part of `runner_of`.

    Raises:
        InvalidDefinition: as `runner_of`.
    """
    return registry.build_steps(stage, specs_of(definition, stage), definition.folder, definition.files)
