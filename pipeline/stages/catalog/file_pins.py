"""Files that a definition names, pinned by what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import InvalidDefinition


def pin(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return absolute path and SHA-256 of each file; names are relative to `folder`.

    Raises:
        InvalidDefinition: a file is missing or cannot be read.
    """
    return {str(path): _digest(path) for path in (_absolute(folder, name) for name in names)}


def check(folder: Path, names: Iterable[str], pins: Mapping[str, str]) -> None:
    """Make sure that each file still holds what was pinned.

    Raises:
        InvalidDefinition: a file is missing, was changed, or was never pinned.
    """
    for name in names:
        path = _absolute(folder, name)
        if pins.get(str(path)) != _digest(path):
            raise InvalidDefinition(
                f"{path} is not what it was when the batch was submitted: restore the file or submit the batch again"
            )


def _absolute(folder: Path, name: str) -> Path:
    return (folder / name).absolute()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidDefinition(f"{path} cannot be read: {error.strerror}; the definition names it") from error
