"""Where definitions are found by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.definitions.definition import Definition
from pipeline.definitions.definition_file import load, read_tables
from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition, NotFound

#: Name of a definition's file in a folder of its own.
OWN_FOLDER_FILE = "definition.toml"
_SUFFIX = ".toml"


def find(reference: str, folder: Path | None = None) -> Definition:
    """Return the definition that `reference` names: a path, or a name in `folder` or the current directory.

    A name means NAME.toml, NAME/definition.toml, or a file whose `name` it is, in this order.

    Raises:
        NotFound: there is none; the message lists those that exist and the nearest.
        InvalidDefinition: it cannot be used.
    """
    folders = [path for path in dict.fromkeys([folder, Path()]) if path is not None]
    path = _by_path(reference) or _by_file(reference, folders) or _by_name(reference, folders)
    if path is None and Path(reference).is_file():
        raise InvalidDefinition(
            f"{reference} is no definition; one is written in TOML, in a file that ends in {_SUFFIX}"
        )
    if path is None:
        raise NotFound(_missing(reference, folders))
    return load(path)


def _by_path(reference: str) -> Path | None:
    path = Path(reference).expanduser()
    if path.suffix == _SUFFIX and path.is_file():
        return path
    inside = path / OWN_FOLDER_FILE
    # A bare name is looked for in the folder of definitions first.
    return inside if len(path.parts) > 1 and inside.is_file() else None


def _by_file(reference: str, folders: list[Path]) -> Path | None:
    names = (reference, f"{reference}{_SUFFIX}", f"{reference}/{OWN_FOLDER_FILE}")
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.suffix == _SUFFIX and path.is_file()), None)


def _by_name(reference: str, folders: list[Path]) -> Path | None:
    return next((path for name, path in _existing(folders) if name == reference), None)


def _missing(reference: str, folders: list[Path]) -> str:
    names = sorted({name for name, _ in _existing(folders)})
    places = " or ".join(str(folder.absolute()) for folder in folders)
    if not names:
        return f"no definition {reference!r}: there is none in {places}; give the path of a {_SUFFIX} file"
    return f"no definition {reference!r} in {places}; there are {', '.join(names)}{hint(reference, names)}"


def _existing(folders: list[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for path in sorted([*folder.glob(f"*{_SUFFIX}"), *folder.glob(f"*/{OWN_FOLDER_FILE}")]):
            name = _name(path)
            if name is not None:
                yield name, path


def _name(path: Path) -> str | None:
    """Return the name a definition gives itself; None for other TOML files, such as pyproject.toml."""
    try:
        tables = read_tables(path)
    except InvalidDefinition:
        # Broken files are reported where they are asked for by their own name.
        return None
    name = tables.get("name")
    return name if isinstance(name, str) and "classify" in tables else None
