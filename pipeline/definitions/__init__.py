"""Pipeline definitions: which classifier, enrichers and retry rules a batch uses."""

from pipeline.definitions.definition import Definition, from_content
from pipeline.definitions.definition_file import load_definition
from pipeline.definitions.find_definition import find_definition

__all__ = ["Definition", "find_definition", "from_content", "load_definition"]
