"""The beginning of an input, complete before anything is decided by it."""

from __future__ import annotations

import io
from typing import Any

#: Bytes by which the kind, the format and the line ends of an input are decided.
HEAD_BYTES = 64 * 1024
#: Bytes by which encodings are proposed.
SAMPLE_BYTES = 1024 * 1024
_BUFFER_BYTES = 4 * HEAD_BYTES


class HeadStream(io.RawIOBase):
    """The bytes of a stream, whose first read returns a whole first line, or `HEAD_BYTES` of it.

    A pipe may deliver its first line in pieces, and what is decided by half a line depends on chance.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._head = b""
        self._has_begun = False
        #: The first bytes that were read, at most `SAMPLE_BYTES`.
        self.sample = bytearray()

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        buffer = memoryview(target).cast("B")
        if not self._has_begun:
            self._has_begun = True
            self._head = self._read_head()
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size] = self._head[:size]
            self._head = self._head[size:]
        else:
            size = self._stream.readinto1(buffer)
        if len(self.sample) < SAMPLE_BYTES:
            self.sample += buffer[: min(size, SAMPLE_BYTES - len(self.sample))]
        return size

    def buffered(self) -> io.BufferedReader:
        """Return a buffered reader of this stream; its first `peek` returns the head."""
        return io.BufferedReader(self, _BUFFER_BYTES)

    def _read_head(self) -> bytes:
        head = b""
        while len(head) < HEAD_BYTES and (chunk := self._stream.read1(HEAD_BYTES - len(head))):
            head += chunk
            if b"\n" in chunk:
                break
        return head
