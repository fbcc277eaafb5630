"""Conflicts between the files that a command reads and the files that it writes."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pipeline.cli.streams import data_descriptor
from pipeline.errors import InvalidInput
from pipeline.files.output_file import check_not_in_use

_STANDARD = "-"
_STDIN = 0

#: A regular file by device and inode, so that links are recognized; a file that does not exist yet by its path.
_Identity = tuple[int, int] | Path


def check_file_conflicts(*, reads: Mapping[str, str | Path | None], writes: Mapping[str, str | Path | None]) -> None:
    """Check, before anything is written, that no output overwrites an input or another output.

    Args:
        reads: input files by their names in messages; `-` is standard input, None means not given.
        writes: output files, likewise; `-` is standard output.

    Raises:
        InvalidInput: an output file is also an input or another output, or another process is writing to it.
    """
    known = [(name, found) for name, path in reads.items() if (found := _identity(path, _STDIN)) is not None]
    for name, path in writes.items():
        found = _identity(path, data_descriptor())
        if path is None or found is None:
            continue
        other = next((other for other, identity in known if identity == found), None)
        if other is not None:
            raise InvalidInput(
                f"{name} {path} is the same file as {other}, which would be overwritten; choose another file for {name}"
            )
        known.append((name, found))
        if path != _STANDARD:
            check_not_in_use(path)


def _identity(path: str | Path | None, descriptor: int) -> _Identity | None:
    if path is None:
        return None
    try:
        status = os.stat(descriptor if path == _STANDARD else path)
    except OSError:
        # Unlike `Path.resolve`, this does not fail for a symbolic link that points to itself.
        return None if path == _STANDARD else Path(os.path.realpath(path))
    # Pipes and devices, such as /dev/null, have no content to lose.
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
