"""What is sent of a definition: its name, or its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.client import arguments
from pipeline.definitions import Definition, to_content
from pipeline.definitions.definition import stage_specs
from pipeline.definitions.definition_file import load_definition
from pipeline.definitions.find_definition import is_definition_path
from pipeline.domain.item import Stage
from pipeline.errors import InvalidDefinition


def definition_for_server(given: str | Path | Definition) -> str | dict[str, Any]:
    """Return a definition as the API takes it: a name that the server knows, or the tables of a file or object.

    Raises:
        InvalidDefinition: it uses files or functions of this machine, or cannot be read.
    """
    if not isinstance(given, Definition):
        name = arguments.path("definition", given)
        if not is_definition_path(name):
            return name
        given = load_definition(Path(name).expanduser())
    functions = [spec.use for stage in Stage for spec in stage_specs(given, stage) if ":" in spec.use]
    for kind, names in (("files", sorted(given.files)), ("functions", functions)):
        if names:
            raise InvalidDefinition(
                f"definition {given.name!r} uses {kind} of this machine: {', '.join(names)}; put it on the server, and "
                "submit by name"
            )
    content = to_content(given)
    return {name: value for name, value in content.items() if name not in ("folder", "files")}
