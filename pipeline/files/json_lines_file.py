"""Writes JSON Lines: one compact result per line, in a file that can be read while it grows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from pipeline.files.output_file import open_in_place

_BLOCK_BYTES = 64 * 1024


class JsonLinesWriter:
    """Writes results to an open file. Other processes see them after `flush`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, result: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(dict(result), option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        self._file.flush()

    close = flush


def read_last_seq(path: str | Path) -> int:
    """Return the `seq` of the last complete line, or 0 if there is none; later results are still to be written."""
    if not Path(path).is_file():
        return 0
    with Path(path).open("rb") as file:
        end = _find_line_end(file)
        file.seek(_find_line_end(file, end - 1) if end else 0)
        line = file.read(end - file.tell())
    try:
        return int(orjson.loads(line)["seq"])
    except (ValueError, KeyError, TypeError):
        return 0


@contextmanager
def open_for_append(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for appending, after removing an incomplete last line that a killed process may have left."""
    with open_in_place(path, append=True) as file:
        file.truncate(_find_line_end(file))
        yield file


def _find_line_end(file: BinaryIO, before: int | None = None) -> int:
    """Return the offset after the last line end before `before` (default: the end of the file), or 0 if none."""
    start = file.seek(0, os.SEEK_END) if before is None else before
    while start > 0:
        end, start = start, max(start - _BLOCK_BYTES, 0)
        file.seek(start)
        index = file.read(end - start).rfind(b"\n")
        if index >= 0:
            return start + index + 1
    return 0
