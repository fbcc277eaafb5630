"""A stream over a file of which ranges can be fetched, such as an object or a file behind https."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

#: Bytes of one request.
BLOCK_BYTES = 8 * 1024 * 1024
#: Blocks kept: a reader of Parquet or zip goes back and forth between the end and the middle.
_KEPT = 3


class RangeStream(io.RawIOBase):
    """A raw stream that can be read in any order. Wrap it in `io.BufferedReader`.

    Args:
        read_range: fetches bytes; it is called with an offset and a length, and returns as many.
        size: of the file, in bytes.
        block_bytes: of one request; None: `BLOCK_BYTES`.
    """

    def __init__(self, read_range: Callable[[int, int], bytes], size: int, *, block_bytes: int | None = None) -> None:
        self._read_range = read_range
        self._size = size
        self._block_bytes = block_bytes or BLOCK_BYTES
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read up to the end of a block: a buffered reader asks again."""
        view = memoryview(buffer).cast("B")
        number, offset = divmod(self._position, self._block_bytes)
        if self._position >= self._size or not len(view):
            return 0
        found = self._block(number)[offset : offset + len(view)]
        view[: len(found)] = found
        self._position += len(found)
        return len(found)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        if len(self._blocks) == _KEPT:
            # Before the next one is fetched, so that they are never one more.
            self._blocks.popitem(last=False)
        start = number * self._block_bytes
        self._blocks[number] = self._read_range(start, min(self._block_bytes, self._size - start))
        return self._blocks[number]
