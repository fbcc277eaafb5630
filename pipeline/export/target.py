"""Files that are written: in place, or as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InvalidInput


def checked(target: str | Path) -> Path:
    """Return the file to write.

    Raises:
        InvalidInput: it is a folder, or the folder it is to be in does not exist.
    """
    path = Path(target)
    if path.is_dir():
        raise InvalidInput(f"cannot write to {path}: it is a folder; give a file in it")
    if not path.parent.is_dir():
        raise InvalidInput(f"cannot write {path}: there is no folder {path.parent}; make it first")
    return path


@contextmanager
def in_place(target: str | Path, *, append: bool = False) -> Iterator[BinaryIO]:
    """A file that grows as it is written. Raises InvalidInput where it cannot be opened."""
    # Created where it is missing; whoever appends reads what is there as well.
    with _open(checked(target), "ab+" if append else "wb") as file:
        yield file


@contextmanager
def as_a_whole(target: str | Path) -> Iterator[BinaryIO]:
    """A file that replaces `target` when the block ends well, and leaves it as it was when the block raises."""
    # The link stays a link; what it points to is replaced.
    path = checked(target).resolve()
    if path.exists() and not path.is_file():
        # A pipe or a device: a file renamed over it would take its place.
        with _open(path, "wb") as file:
            yield file
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _open(part, "wb") as file:
            yield file
            file.flush()
            # The new name must not reach the disk before the content does.
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _open(path: Path, mode: str) -> BinaryIO:
    try:
        return path.open(mode)  # type: ignore[return-value]
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror or error}") from None
