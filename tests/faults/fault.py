"""A fault: what strikes a site, for how long, and where it can."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from random import Random

from tests.faults.site import NAMES, Site

#: Does harm for so many seconds, and leaves everything running that was.
Strike = Callable[[Site, Random, float], None]

_never = threading.Event()


@dataclass(frozen=True)
class Fault:
    """One way in which things go wrong.

    Args:
        target: what it strikes; no two strike the same at the same time.
        seconds: how long it lasts in the short form, and in the long form at the most.
    """

    name: str
    target: str
    sites: Collection[str]
    seconds: tuple[float, float]
    strike: Strike


class Faults:
    """The faults of one target, in the order in which they were defined."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.all: list[Fault] = []

    def __call__(self, *sites: str, seconds: float = 1.0, longest: float | None = None) -> Callable[[Strike], Strike]:
        """Take a function as a fault of these sites, or of all where none is named."""

        def take(strike: Strike) -> Strike:
            name = strike.__name__.replace("_", " ")
            self.all.append(Fault(name, self.target, sites or NAMES, (seconds, longest or seconds), strike))
            return strike

        return take


def last(seconds: float) -> None:
    """Let a fault last. Not a wait for anything: the time is what the fault is."""
    _never.wait(seconds)


def every(pause: float, seconds: float) -> Iterator[None]:
    """Yield again and again for so long, at least once."""
    end = time.monotonic() + seconds
    yield
    while time.monotonic() + pause < end:
        last(pause)
        yield
    last(max(end - time.monotonic(), 0))
