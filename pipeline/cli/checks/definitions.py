"""Definitions: found, valid, and runnable with what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline import definitions
from pipeline.cli.checks.check import Check, fail, ok, warn
from pipeline.cli.definition_choice import candidates
from pipeline.errors import PipelineError
from pipeline.settings import Settings
from pipeline.stages.run.executor import Executor


def check_definitions(chosen: Settings) -> Iterator[Check]:
    """Yield whether each definition loads and its stages can be built: models, callables, extras."""
    is_missing = chosen.definitions is not None and not chosen.definitions.is_dir()
    if is_missing:
        yield fail("definitions", f"there is no folder {chosen.definitions}", "correct PIPELINE_DEFINITIONS")
    found = list(candidates(chosen.definitions))
    if not found and not is_missing:
        yield warn("definitions", "none here", "write one, or name their folder in PIPELINE_DEFINITIONS")
    for path in found:
        yield _loaded(path)


def _loaded(path: Path) -> Check:
    name = f"definition {path}"
    try:
        definition = definitions.load_definition(path)
        with Executor() as executor:
            for stage in definition.stages:
                definitions.runner_of(definition, stage, executor)
    except PipelineError as error:
        return fail(name, str(error), "correct it; the message says where")
    return ok(name, f"{definition.name}, version {definition.version}, {' and '.join(definition.stages)}")
