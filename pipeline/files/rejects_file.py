"""The rejects file: what was refused, and why."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import orjson

from pipeline.domain.payload import Rejection
from pipeline.files.output_file import in_place


class Rejects:
    """Writes rejections as JSON Lines `{"line", "reason", "text"}`; each is in the file when `write` returns.

    Raises:
        InvalidInput: the folder does not exist or the file cannot be written; when the context is entered.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self.count = 0

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(in_place(self._path))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, rejection: Rejection) -> None:
        self._file.write(orjson.dumps(rejection, option=orjson.OPT_APPEND_NEWLINE))
        # A rejection is rare, and a process killed later must not take it along.
        self._file.flush()
        self.count += 1


def write_rejects(path: str | Path, rejections: Iterable[Rejection]) -> int:
    """Write each rejection as it comes, and return how many they were."""
    with Rejects(path) as rejects:
        for rejection in rejections:
            rejects.write(rejection)
        return rejects.count
