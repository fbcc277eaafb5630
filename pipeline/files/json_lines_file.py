"""JSON Lines: one compact result a line, to be followed while it grows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from pipeline.files.output_file import in_place

_BLOCK_BYTES = 64 * 1024


class JsonLinesWriter:
    """Writes results to an open file; others see them after `flush`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, result: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(dict(result), option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        self._file.flush()

    close = flush


def last_seq(path: str | Path) -> int:
    """Return `seq` of the last whole line, 0 where there is none: results after it are still to be written."""
    if not Path(path).is_file():
        return 0
    with Path(path).open("rb") as file:
        end = _end_of_whole_lines(file)
        file.seek(_end_of_whole_lines(file, end - 1) if end else 0)
        line = file.read(end - file.tell())
    try:
        return int(orjson.loads(line)["seq"])
    except (ValueError, KeyError, TypeError):
        return 0


@contextmanager
def without_torn_line(path: str | Path) -> Iterator[BinaryIO]:
    """A file to append to, rid of the half line that a process leaves which is killed while it writes."""
    with in_place(path, append=True) as file:
        file.truncate(_end_of_whole_lines(file))
        yield file


def _end_of_whole_lines(file: BinaryIO, before: int | None = None) -> int:
    """Return the offset after the last line end before `before`, by default the file's end; 0 where there is none."""
    begin = file.seek(0, os.SEEK_END) if before is None else before
    while begin > 0:
        end, begin = begin, max(begin - _BLOCK_BYTES, 0)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
    return 0
