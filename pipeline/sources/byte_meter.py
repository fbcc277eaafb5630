"""Counts the bytes that are read from a stream."""

from __future__ import annotations

import io
from typing import Any


class ByteMeter:
    """The number of bytes that were read. Another thread may look at it."""

    def __init__(self) -> None:
        self.count = 0


class MeteredStream(io.RawIOBase):
    """A stream whose bytes are counted as they are read."""

    def __init__(self, stream: io.BufferedReader, meter: ByteMeter) -> None:
        self._stream, self._meter = stream, meter

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, target: Any) -> int:
        size = self._stream.readinto1(target)
        self._meter.count += size
        return size

    def buffered(self) -> io.BufferedReader:
        """Return a buffered reader of this stream."""
        return io.BufferedReader(self)
