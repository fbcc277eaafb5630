"""Which definition a command uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline import definitions
from pipeline.definitions import Definition
from pipeline.definitions.definition_file import read_tables
from pipeline.definitions.find_definition import DEFINITION_FILE
from pipeline.errors import InvalidDefinition, NotFound


def choose(name: str | None, folder: Path | None) -> Definition:
    """Return the definition of that name, or the only one there is.

    Raises:
        NotFound: none is named, and there is none, or more than one.
        InvalidDefinition: it cannot be used.
    """
    if name is not None:
        return definitions.find_definition(name, folder)
    found = list(candidates(folder))
    if len(found) == 1:
        return definitions.load_definition(found[0])
    places = " or ".join(str(place.absolute()) for place in _folders(folder))
    if not found:
        raise NotFound(f"there is no definition in {places}; name one with -p")
    listed = "".join(f"\n  -p {path}" for path in found)
    raise NotFound(f"there are {len(found)} definitions in {places}; say which:{listed}")


def candidates(folder: Path | None) -> Iterator[Path]:
    """Yield the definition files in `folder` and in the current directory, each once."""
    seen = set()
    for place in _folders(folder):
        for path in sorted([*place.glob("*.toml"), *place.glob(f"*/{DEFINITION_FILE}")]):
            if path.resolve() not in seen and _is_definition(path):
                seen.add(path.resolve())
                yield path


def _folders(folder: Path | None) -> list[Path]:
    return [path for path in dict.fromkeys([folder, Path()]) if path is not None]


def _is_definition(path: Path) -> bool:
    try:
        tables = read_tables(path)
    except InvalidDefinition:
        # A broken file is meant to be one where its name says so; loading it then says what is broken.
        return path.name == DEFINITION_FILE
    return "name" in tables and "classify" in tables
