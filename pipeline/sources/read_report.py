"""What reading an input yields besides its items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _ignore(message: str) -> None:
    """Drop a warning."""


@dataclass(slots=True)
class ReadReport:
    """Counts and warnings of one reading. Every row is an item, a rejection or a blank row.

    Args:
        warn: called with what the user should know about the input as a whole, at most once per subject.
    """

    warn: Callable[[str], object] = _ignore
    #: Blank lines, and rows of a table whose fields are all blank.
    blank_rows: int = 0
