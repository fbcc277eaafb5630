"""Pipeline definitions: which classifier, enrichers and retry rules a batch uses."""

from pipeline.definitions.definition import Definition, content_of, from_content, from_tables, specs_of
from pipeline.definitions.definition_file import load_definition
from pipeline.definitions.find_definition import find_definition
from pipeline.definitions.input_and_retry import backoff_of
from pipeline.definitions.stage_steps import runner_of, steps_of

__all__ = [
    "Definition",
    "backoff_of",
    "content_of",
    "find_definition",
    "from_content",
    "from_tables",
    "load_definition",
    "runner_of",
    "specs_of",
    "steps_of",
]
