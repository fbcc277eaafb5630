"""Opens files for writing, either in place or by replacing them atomically."""

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


def check_target(target: str | Path) -> Path:
    """Return the path of the file to write.

    Raises:
        InvalidInput: it is a folder, or its parent folder does not exist.
    """
    path = Path(target)
    if path.is_dir():
        raise InvalidInput(f"cannot write to {path}: it is a folder; give a file in it")
    if not path.parent.is_dir():
        raise InvalidInput(f"cannot write {path}: there is no folder {path.parent}; create it first")
    return path


@contextmanager
def open_in_place(target: str | Path, *, append: bool = False) -> Iterator[BinaryIO]:
    """Open a file that grows as it is written, by one process at a time.

    Args:
        append: keep the existing content.

    Raises:
        InvalidInput: it cannot be opened, or another process is writing to it.
    """
    path = check_target(target)
    if path.exists() and not path.is_file():
        # Pipes and devices cannot be truncated, and have no end to append to.
        with _open(path, "wb") as file:
            yield file
        return
    # This mode creates a missing file, and does not truncate an existing one before it is locked.
    with _open(path, "ab+") as file:
        _lock(file, path)
        if not append:
            file.truncate(0)
        yield file


def check_not_in_use(target: str | Path) -> None:
    """Check that no other process is writing to a file, if it exists.

    Raises:
        InvalidInput: another process is writing to it.
    """
    path = Path(target)
    if path.is_file():
        with _open(path, "ab") as file:
            _lock(file, path)


@contextmanager
def open_for_replacement(target: str | Path) -> Iterator[BinaryIO]:
    """Open a file that atomically replaces `target` when the block succeeds; if it raises, `target` is unchanged."""
    # If the target is a symbolic link, the file that it points to is replaced.
    # Unlike `Path.resolve`, this does not fail for a link that points to itself; opening it does.
    path = Path(os.path.realpath(check_target(target)))
    if path.exists() and not path.is_file():
        # Renaming a file onto a pipe or a device would remove it.
        with _open(path, "wb") as file:
            yield file
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _open(temporary, "wb") as file:
            yield file
            file.flush()
            # The content must reach the disk before the new name does.
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _lock(file: BinaryIO, path: Path) -> None:
    if fcntl is None:
        return
    try:
        # The system releases the lock when the process ends, even if it is killed.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InvalidInput(
            f"another process is writing to {path}; wait until it is done, or choose another file"
        ) from None
    except OSError:
        # Some network file systems do not support locks.
        return


def _open(path: Path, mode: str) -> BinaryIO:
    try:
        return path.open(mode)  # type: ignore[return-value]
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror or error}") from None
