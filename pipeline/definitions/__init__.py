"""Which classifier, which enrichers, which rules: read, checked, and carried to where it runs."""

from pipeline.definitions.definition import Definition, from_content
from pipeline.definitions.definition_file import load
from pipeline.definitions.folder import find

__all__ = ["Definition", "find", "from_content", "load"]
