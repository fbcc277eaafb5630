"""Checks of the definitions: valid, and runnable with the installed packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline import definitions
from pipeline.cli.checks.check import Check, fail, ok, warn
from pipeline.cli.definition_choice import find_definitions
from pipeline.errors import PipelineError
from pipeline.settings import Settings
from pipeline.stages.run.executor import Executor


def check_definitions(settings: Settings) -> Iterator[Check]:
    """Yield whether each definition loads and its stages can be built from models, callables and extras."""
    is_missing = settings.definitions is not None and not settings.definitions.is_dir()
    if is_missing:
        yield fail("definitions", f"there is no folder {settings.definitions}", "correct PIPELINE_DEFINITIONS")
    paths = list(find_definitions(settings.definitions))
    if not paths and not is_missing:
        yield warn(
            "definitions", "none in the current directory", "write one, or set PIPELINE_DEFINITIONS to their folder"
        )
    for path in paths:
        yield _check_definition(path)


def _check_definition(path: Path) -> Check:
    name = f"definition {path}"
    try:
        definition = definitions.load_definition(path)
        with Executor() as executor:
            for stage in definition.stages:
                definitions.build_runner(definition, stage, executor)
    except PipelineError as error:
        return fail(name, str(error), "correct the file as the message says")
    return ok(name, f"{definition.name}, version {definition.version}, {' and '.join(definition.stages)}")
