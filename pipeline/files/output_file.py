"""Files that are written: in place, or as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InvalidInput

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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
    """A file that grows as it is written, by one process at a time.

    Raises:
        InvalidInput: it cannot be opened, or another process is writing to it.
    """
    path = checked(target)
    if path.exists() and not path.is_file():
        # Pipes and devices cannot be cut, and have no end to append to.
        with _open(path, "wb") as file:
            yield file
        return
    # Created where it is missing. What is there is cut only once the file is ours.
    with _open(path, "ab+") as file:
        _lock(file, path)
        if not append:
            file.truncate(0)
        yield file


def refuse_busy(target: str | Path) -> None:
    """Raise InvalidInput where another process is writing to a file that exists."""
    path = Path(target)
    if path.is_file():
        with _open(path, "ab") as file:
            _lock(file, path)


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


def _lock(file: BinaryIO, path: Path) -> None:
    if fcntl is None:
        return
    try:
        # It ends with the process, however that ends.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InvalidInput(
            f"another process is writing to {path}; wait until it is done, or name another file"
        ) from None
    except OSError:
        # Some network file systems have no locks.
        return


def _open(path: Path, mode: str) -> BinaryIO:
    try:
        return path.open(mode)  # type: ignore[return-value]
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror or error}") from None
