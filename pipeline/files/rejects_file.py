"""The rejects file: the records that were rejected, and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import orjson

from pipeline.domain.payload import Rejection
from pipeline.errors import InvalidInput
from pipeline.files.output_file import open_in_place

#: Suffixes that would promise another content.
_OTHER_FORMATS = frozenset({".json", ".csv", ".tsv", ".parquet", ".xlsx", ".gz"})


class RejectsFile:
    """Writes rejections as JSON Lines `{"line", "reason", "text"}`; each is in the file when `write` returns.

    If the input has several files, `file` names the one with the record.

    Args:
        keep: leave the file as it is until `cut_back` says how much of it is kept.

    Raises:
        InvalidInput: the suffix is that of another format; or, when the context is entered, the folder does not exist
            or the file cannot be written.
    """

    def __init__(self, path: str | Path, *, keep: bool = False) -> None:
        if Path(path).suffix.lower() in _OTHER_FORMATS:
            raise InvalidInput(f"cannot write {path}: rejected items are written as JSON Lines; give a name in .jsonl")
        self.path = path
        self._keep = keep
        self._stack = ExitStack()
        self.count = 0

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(open_in_place(self.path, append=self._keep))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def size(self) -> int:
        """The bytes of the file; 0 if it is a pipe or a device."""
        status = os.fstat(self._file.fileno())
        return status.st_size if stat.S_ISREG(status.st_mode) else 0

    def cut_back(self, size: int) -> None:
        """Remove what follows the first `size` bytes. What was written to a pipe stays."""
        if self.size > size:
            self._file.truncate(size)

    def write(self, rejection: Rejection) -> None:
        file = {} if rejection.file is None else {"file": rejection.file}
        found = file | {"line": rejection.line, "reason": rejection.reason, "text": rejection.text}
        self._file.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
        # Rejections are rare, and must not be lost if the process is killed later.
        self._file.flush()
        self.count += 1


def write_rejects(path: str | Path, rejections: Iterable[Rejection]) -> int:
    """Write each rejection as it arrives, and return how many there were."""
    with RejectsFile(path) as rejects:
        for rejection in rejections:
            rejects.write(rejection)
        return rejects.count
