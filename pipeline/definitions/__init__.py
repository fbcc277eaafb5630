"""Pipeline definitions: which classifier, enrichers and retry rules a batch uses."""

from pipeline.definitions.definition import Definition, from_content, from_tables, stage_specs, to_content, with_input
from pipeline.definitions.definition_file import load_definition
from pipeline.definitions.find_definition import find_definition
from pipeline.definitions.input_and_retry import InputSpec, make_backoff
from pipeline.definitions.stage_steps import build_runner, build_steps

__all__ = [
    "Definition",
    "InputSpec",
    "make_backoff",
    "to_content",
    "with_input",
    "find_definition",
    "from_content",
    "from_tables",
    "load_definition",
    "build_runner",
    "stage_specs",
    "build_steps",
]
