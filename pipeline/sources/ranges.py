"""Reads bytes that are far away, part by part: as a stream, or in any order."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

#: Bytes fetched at once when they are read in order.
PART_BYTES = 8 * 1024 * 1024
#: Bytes fetched at once when they are read in any order, and how many of these parts are kept.
_BLOCK_BYTES = 1024 * 1024
_BLOCKS_KEPT = 16

#: Returns the bytes from `start` to `end`, exclusive.
ReadRange = Callable[[int, int], bytes]


class RangeStream(io.RawIOBase):
    """Bytes that are fetched by ranges, read in order or in any order.

    Args:
        read_range: fetches bytes; it tries again where that can help, and raises the errors of `SourceFile`.
        size: of all bytes.
        part: bytes fetched at once; the default is for reading in any order.
        kept: how many parts are kept.
    """

    def __init__(self, read_range: ReadRange, size: int, *, part: int = _BLOCK_BYTES, kept: int = _BLOCKS_KEPT) -> None:
        self._read_range, self._size, self._part, self._kept = read_range, size, part, kept
        self._position = 0
        self._parts: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}, before the beginning")
        self._position = start + offset
        return self._position

    def readinto(self, target: Any) -> int:
        buffer = memoryview(target).cast("B")
        if self._position >= self._size:
            return 0
        number, offset = divmod(self._position, self._part)
        found = self._fetch(number)[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)

    def _fetch(self, number: int) -> bytes:
        found = self._parts.get(number)
        if found is None:
            start = number * self._part
            found = self._parts[number] = self._read_range(start, min(start + self._part, self._size))
            if len(self._parts) > self._kept:
                self._parts.popitem(last=False)
        else:
            self._parts.move_to_end(number)
        return found
