"""The acknowledgements of one RabbitMQ channel, in as few frames as possible."""

from __future__ import annotations

import threading
from struct import Struct
from typing import NamedTuple


class Acknowledgement(NamedTuple):
    """Acknowledges one message, or with `multiple` every message up to it."""

    tag: int
    multiple: bool


#: A complete frame: method 60, 80 (basic.ack) of 13 bytes, the delivery tag, the `multiple` bit and the end marker.
_FRAME = Struct(">BHIHHQBB")


def frame(channel: int, acknowledgement: Acknowledgement) -> bytes:
    """Return the frame of an acknowledgement."""
    tag, multiple = acknowledgement
    return _FRAME.pack(1, channel, 13, 60, 80, tag, multiple, 0xCE)


class AckTags:
    """The delivery tags of a channel: those not acknowledged yet, and those whose acknowledgement waits to be sent.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In ascending order.
        self._open: dict[int, None] = {}
        self._waiting: set[int] = set()
        self._are_complete = True

    def add(self, tag: int) -> None:
        """Add a message that has to be acknowledged."""
        with self._lock:
            self._open[tag] = None

    def lose_count(self) -> None:
        """Note that some messages may not have been added. From now on, each is acknowledged on its own."""
        self._are_complete = False

    def acknowledge(self, tag: int) -> None:
        """Have the next `take` acknowledge a message."""
        with self._lock:
            self._waiting.add(tag)

    def remove(self, tag: int, *, multiple: bool = False) -> None:
        """Remove a message that has already been reported to the server.

        Args:
            tag: its delivery tag.
            multiple: every message up to it as well; with tag 0, every message.
        """
        with self._lock:
            numbers = [each for each in self._open if each <= tag or tag == 0] if multiple else [tag]
            for each in numbers:
                self._open.pop(each, None)

    def take(self) -> list[Acknowledgement]:
        """Return the acknowledgements to send now."""
        with self._lock:
            waiting, self._waiting = self._waiting, set()
            first = self._first(waiting) if self._are_complete else []
            for tag in waiting:
                self._open.pop(tag, None)
        if len(first) < 2:
            return [Acknowledgement(tag, False) for tag in sorted(waiting)]
        rest = sorted(waiting.difference(first))
        return [Acknowledgement(first[-1], True), *(Acknowledgement(tag, False) for tag in rest)]

    def _first(self, waiting: set[int]) -> list[int]:
        """Return the waiting tags that precede the first one that must not be acknowledged yet."""
        first = []
        for tag in self._open:
            if tag not in waiting:
                break
            first.append(tag)
        return first
