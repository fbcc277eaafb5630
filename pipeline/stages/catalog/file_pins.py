"""Pins the files of a definition by the hash of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import InvalidDefinition


def pin_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each file by absolute path; names are relative to `folder`.

    Raises:
        InvalidDefinition: a file is missing or cannot be read.
    """
    return {str(path): _hash_file(path) for path in (_absolute(folder, name) for name in names)}


def check_pins(folder: Path, names: Iterable[str], pins: Mapping[str, str]) -> None:
    """Check that each file is unchanged since it was pinned.

    Raises:
        InvalidDefinition: a file is missing, has changed, or was never pinned.
    """
    for name in names:
        path = _absolute(folder, name)
        if pins.get(str(path)) != _hash_file(path):
            raise InvalidDefinition(
                f"{path} has changed since the batch was submitted; restore the file or submit the batch again"
            )


def _absolute(folder: Path, name: str) -> Path:
    return (folder / name).absolute()


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidDefinition(f"{path} cannot be read: {error.strerror}; the definition needs it") from error
