"""The files that one command reads and writes: none is both, and none is written twice."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import InvalidInput
from pipeline.files.output_file import check_not_in_use

_STANDARD = "-"
_STDIN = 0
_STDOUT = 1

#: A regular file by device and number, whatever it is called; one that does not exist yet by its path.
_Identity = tuple[int, int] | Path


def refuse_shared(*, reads: Mapping[str, str | Path | None], writes: Mapping[str, str | Path | None]) -> None:
    """Make sure that what a command writes takes nothing away; ask before the first byte is written.

    Args:
        reads: files by what messages call them; `-` is standard input, None is not given.
        writes: the same, `-` is standard output.

    Raises:
        InvalidInput: a file is written that is read or written otherwise as well, by this command or another process.
    """
    known = [(name, found) for name, path in reads.items() if (found := _identity(path, _STDIN)) is not None]
    for name, path in writes.items():
        found = _identity(path, _STDOUT)
        if path is None or found is None:
            continue
        other = next((each for each, identity in known if identity == found), None)
        if other is not None:
            raise InvalidInput(
                f"{name} {path} is the same file as {other}, which would be overwritten; name another file for {name}"
            )
        known.append((name, found))
        if path != _STANDARD:
            check_not_in_use(path)


def _identity(path: str | Path | None, standard: int) -> _Identity | None:
    if path is None:
        return None
    try:
        found = os.stat(standard if path == _STANDARD else path)
    except OSError:
        return None if path == _STANDARD else Path(path).absolute().resolve()
    # Pipes and devices, such as /dev/null, hold nothing that could be lost.
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
