"""Report a faulty definition when a batch is submitted, not when its items run."""

from __future__ import annotations

from pipeline.context import Context
from pipeline.definitions import Definition, build_steps, stage_specs
from pipeline.domain.item import Stage
from pipeline.errors import InvalidDefinition
from pipeline.log import get_logger
from pipeline.stages.catalog import callables
from pipeline.stages.catalog.installed_extras import check_extra
from pipeline.stages.catalog.step import Step

log = get_logger(__name__)

#: Built stages kept for the workers of this process. The oldest are dropped first, since models may be large.
MAX_KEPT_STAGES = 16


def prepare(context: Context, definition: Definition) -> None:
    """Build a definition's stages if this process does the work; otherwise check what can be checked here.

    Built stages are kept, so that a model is loaded once per process.

    Raises:
        InvalidDefinition: the definition cannot be run.
    """
    for stage in definition.stages:
        if (definition.version, stage) in context.prepared:
            continue
        try:
            steps = build_steps(definition, stage) if _works_here(context) else _check(context, definition, stage)
        except InvalidDefinition as error:
            raise InvalidDefinition(f"definition {definition.name!r} cannot be run: {stage.value}: {error}") from error
        context.prepared[definition.version, stage] = steps
        while len(context.prepared) > MAX_KEPT_STAGES:
            # With a default: another thread may be dropping the same stage.
            context.prepared.pop(next(iter(context.prepared)), None)


def _works_here(context: Context) -> bool:
    return context.settings.is_embedded and context.builds_stages


def _check(context: Context, definition: Definition, stage: Stage) -> tuple[Step, ...]:
    """Refuse a definition that no worker can run. Modules, secrets and extras may exist only where the workers are."""
    for spec in stage_specs(definition, stage):
        if context.works_beside:
            check_extra(spec)
        if callables.is_callable_name(spec.use) and not callables.has_module(spec.use, definition.folder):
            log.warning("callable_not_found_here", use=spec.use, folder=str(definition.folder))
        if spec.use == "keywords":
            _check_rules(definition, stage)
    return ()


def _check_rules(definition: Definition, stage: Stage) -> None:
    try:
        build_steps(definition, stage)
    except InvalidDefinition as error:
        if not isinstance(error.__cause__, ImportError):
            raise
