"""Ends reading what unpacks to far more than it is, as found while it is read, not as an archive claims."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from pipeline.errors import InvalidInput

#: What is unpacked for one byte, at most. Ordinary text takes 3 to 20, very regular tables 100.
MAX_RATIO = 200
#: Bytes from which on the ratio is looked at.
_FREE_BYTES = 10 * 1024 * 1024


class UnpackGuard:
    """The limit of one file.

    Args:
        what: `the archive`, or `the file`.
    """

    def __init__(self, name: str, what: str, max_ratio: int) -> None:
        self._name, self._what, self._max_ratio = name, what, max_ratio

    def check(self, packed: int, unpacked: int) -> None:
        """Check how many bytes were made of how many.

        Raises:
            InvalidInput: they are too many.
        """
        if unpacked > _FREE_BYTES and unpacked > self._max_ratio * packed:
            raise InvalidInput(
                f"{self._name}: {self._what} unpacks to more than {self._max_ratio} times its size; if that is right, "
                f"--max-ratio {self._max_ratio * 10}"
            )


class GuardedStream(io.RawIOBase):
    """An unpacked stream that ends with an error if it is too long for what it was unpacked from.

    Args:
        packed: returns how many bytes were read of what is unpacked.
    """

    def __init__(self, stream: Any, guard: UnpackGuard, packed: Callable[[], int]) -> None:
        self._stream, self._guard, self._packed = stream, guard, packed
        self._unpacked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        buffer = memoryview(target).cast("B")
        chunk = self._stream.read1(len(buffer))
        buffer[: len(chunk)] = chunk
        self._unpacked += len(chunk)
        self._guard.check(self._packed(), self._unpacked)
        return len(chunk)
