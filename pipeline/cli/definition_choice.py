"""The definition that a command uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline import definitions
from pipeline.definitions import Definition
from pipeline.definitions.definition_file import read_tables
from pipeline.definitions.find_definition import DEFINITION_FILE
from pipeline.errors import InvalidDefinition, NotFound


def choose_definition(name: str | None, folder: Path | None) -> Definition:
    """Return the definition with this name or path; without one, the only definition there is.

    Args:
        folder: searched as well as the current directory; None searches only the latter.

    Raises:
        NotFound: there is no such definition; or no name was given, and there is none or more than one.
        InvalidDefinition: the definition is invalid.
    """
    if name is not None:
        return definitions.find_definition(name, folder)
    paths = list(find_definitions(folder))
    if len(paths) == 1:
        return definitions.load_definition(paths[0])
    searched = " or ".join(str(path.absolute()) for path in _folders(folder))
    if not paths:
        raise NotFound(f"there is no definition in {searched}; name one with -p")
    listed = "".join(f"\n  -p {path}" for path in paths)
    raise NotFound(f"there are {len(paths)} definitions in {searched}; choose one:{listed}")


def find_definitions(folder: Path | None) -> Iterator[Path]:
    """Yield each definition file in `folder` and in the current directory once."""
    seen = set()
    for searched in _folders(folder):
        for path in sorted([*searched.glob("*.toml"), *searched.glob(f"*/{DEFINITION_FILE}")]):
            if path.resolve() not in seen and _is_definition(path):
                seen.add(path.resolve())
                yield path


def _folders(folder: Path | None) -> list[Path]:
    return [path for path in dict.fromkeys([folder, Path()]) if path is not None]


def _is_definition(path: Path) -> bool:
    try:
        tables = read_tables(path)
    except InvalidDefinition:
        # A broken file of this name is meant to be a definition; loading it later reports the error.
        return path.name == DEFINITION_FILE
    return "name" in tables and "classify" in tables
