"""A median with its spread."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """What several rounds gave."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return that of at least one value."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))


def ratio(ours: dict[int, float], theirs: dict[int, float]) -> Spread | None:
    """Return how many times as fast ours is, compared round by round; None without a round in which both count.

    Args:
        ours, theirs: items a second by round.
    """
    rounds = ours.keys() & theirs.keys()
    return Spread.of(ours[number] / theirs[number] for number in rounds) if rounds else None
