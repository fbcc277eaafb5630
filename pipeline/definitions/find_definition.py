"""Finds definitions by path or by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.definitions.definition import Definition
from pipeline.definitions.definition_file import load_definition, read_tables
from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition, NotFound

#: The name of a definition's file if the definition has a folder to itself.
DEFINITION_FILE = "definition.toml"
_SUFFIX = ".toml"


def find_definition(reference: str, folder: Path | None = None) -> Definition:
    """Return the definition at a path, or with a name in `folder` or in the current directory.

    A name is looked up as NAME.toml, then as NAME/definition.toml, then as the `name` in a definition file.

    Raises:
        NotFound: there is no such definition; the message lists those that exist and suggests the closest.
        InvalidDefinition: the definition is invalid.
    """
    folders = [path for path in dict.fromkeys([folder, Path()]) if path is not None]
    path = _find_by_path(reference) or _find_by_file_name(reference, folders) or _find_by_name(reference, folders)
    if path is None and Path(reference).is_file():
        raise InvalidDefinition(
            f"{reference} is not a definition; definitions are TOML files with names that end in {_SUFFIX}"
        )
    if path is None:
        raise NotFound(_not_found(reference, folders))
    return load_definition(path)


def definitions_by_name(folder: Path) -> dict[str, Path]:
    """Return the files of the definitions in a folder, by each name that `find_definition` finds them by there."""
    paths = [path for _, path in _named_definitions([folder])]
    by_file = {(path.parent.name if path.name == DEFINITION_FILE else path.stem): path for path in paths}
    # The name of a file comes before that in a file.
    return {name: path for name, path in reversed([*_named_definitions([folder])])} | by_file


def is_definition_path(reference: str) -> bool:
    """Return whether a reference is the path of a definition file, rather than a name."""
    return _find_by_path(reference) is not None


def _find_by_path(reference: str) -> Path | None:
    path = Path(reference).expanduser()
    if path.suffix == _SUFFIX and path.is_file():
        return path
    inside = path / DEFINITION_FILE
    # A bare name is looked up in the folder of definitions first.
    return inside if len(path.parts) > 1 and inside.is_file() else None


def _find_by_file_name(reference: str, folders: list[Path]) -> Path | None:
    names = (reference, f"{reference}{_SUFFIX}", f"{reference}/{DEFINITION_FILE}")
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.suffix == _SUFFIX and path.is_file()), None)


def _find_by_name(reference: str, folders: list[Path]) -> Path | None:
    return next((path for name, path in _named_definitions(folders) if name == reference), None)


def _not_found(reference: str, folders: list[Path]) -> str:
    names = sorted({name for name, _ in _named_definitions(folders)})
    places = " or ".join(str(folder.absolute()) for folder in folders)
    if not names:
        return f"no definition {reference!r}: there are none in {places}; give the path of a {_SUFFIX} file"
    return f"no definition {reference!r} in {places}; there are {', '.join(names)}{hint(reference, names)}"


def _named_definitions(folders: list[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for path in sorted([*folder.glob(f"*{_SUFFIX}"), *folder.glob(f"*/{DEFINITION_FILE}")]):
            name = _read_name(path)
            if name is not None:
                yield name, path


def _read_name(path: Path) -> str | None:
    """Return the `name` in a definition file; None for other TOML files, such as pyproject.toml."""
    try:
        tables = read_tables(path)
    except InvalidDefinition:
        # A broken file is reported when it is requested by its file name.
        return None
    name = tables.get("name")
    return name if isinstance(name, str) and "classify" in tables else None
