"""What is to be acknowledged on one channel of RabbitMQ, in as few frames as say it."""

from __future__ import annotations

import threading
from struct import Struct
from typing import NamedTuple


class Acknowledgement(NamedTuple):
    """One message's, or with `multiple` that of every message up to it."""

    tag: int
    multiple: bool


#: A whole frame: method 60, 80 of 13 bytes, the tag, the bit and the end.
_FRAME = Struct(">BHIHHQBB")


def frame(channel: int, acknowledgement: Acknowledgement) -> bytes:
    """Return an acknowledgement as it is sent."""
    tag, multiple = acknowledgement
    return _FRAME.pack(1, channel, 13, 60, 80, tag, multiple, 0xCE)


class AckTags:
    """The numbers of messages that a channel brought: those still open, and those that wait to be acknowledged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In the order of their numbers.
        self._open: dict[int, None] = {}
        self._waiting: set[int] = set()
        self._are_complete = True

    def delivered(self, tag: int) -> None:
        """Hear of a message that is to be acknowledged."""
        with self._lock:
            self._open[tag] = None

    def lose_count(self) -> None:
        """Hear that there are messages which nobody has told of: from now on each is acknowledged alone."""
        self._are_complete = False

    def acknowledge(self, tag: int) -> None:
        """Have a message acknowledged by the next `take`."""
        with self._lock:
            self._waiting.add(tag)

    def settled(self, tag: int, *, multiple: bool = False) -> None:
        """Hear that a message is settled already; with `multiple` every one up to it, with 0 as well every one."""
        with self._lock:
            numbers = [each for each in self._open if each <= tag or tag == 0] if multiple else [tag]
            for each in numbers:
                self._open.pop(each, None)

    def take(self) -> list[Acknowledgement]:
        """Return what is to be sent now."""
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
        """Return the open messages before the first that is not to be acknowledged yet."""
        first = []
        for tag in self._open:
            if tag not in waiting:
                break
            first.append(tag)
        return first
