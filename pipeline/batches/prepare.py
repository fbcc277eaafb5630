"""What is wrong with a definition is said when a batch is submitted, not when its items run."""

from __future__ import annotations

from pipeline.context import Context
from pipeline.definitions import Definition
from pipeline.domain.item import Stage
from pipeline.errors import InvalidDefinition
from pipeline.log import get_logger
from pipeline.stages.catalog import callables
from pipeline.stages.catalog.step import Step

log = get_logger(__name__)

#: Stages that are kept for whoever runs them; the oldest are forgotten first, since a model may be large.
STAGES_KEPT = 16


def prepare(context: Context, definition: Definition) -> None:
    """Make a definition runnable where this process does the work; elsewhere, look at what can be known here.

    What is built is kept for whoever runs it in this process, so that a model is loaded once.

    Raises:
        InvalidDefinition: it cannot be run.
    """
    for stage in map(Stage, definition.stages):
        if (definition.version, stage) in context.prepared:
            continue
        try:
            steps = definition.steps(stage) if context.settings.is_embedded else _look(definition, stage)
        except InvalidDefinition as error:
            raise InvalidDefinition(f"definition {definition.name!r} cannot be run: {stage.value}: {error}") from error
        context.prepared[definition.version, stage] = steps
        while len(context.prepared) > STAGES_KEPT:
            # By default: another thread may be forgetting the same.
            context.prepared.pop(next(iter(context.prepared)), None)


def _look(definition: Definition, stage: Stage) -> tuple[Step, ...]:
    """Refuse what can run nowhere. Modules, secrets and extras need only be where the workers are."""
    for spec in definition.specs(stage):
        if callables.is_callable_name(spec.use) and not callables.is_findable(spec.use, definition.folder):
            log.warning("callable_not_found_here", use=spec.use, folder=str(definition.folder))
        if spec.use == "keywords":
            _check_rules(definition, stage)
    return ()


def _check_rules(definition: Definition, stage: Stage) -> None:
    try:
        definition.steps(stage)
    except InvalidDefinition as error:
        if not isinstance(error.__cause__, ImportError):
            raise
