"""What reading an input yields besides its items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Fact(NamedTuple):
    """What was found out about a file.

    Args:
        reason: by what; empty: it is obvious.
    """

    value: str
    reason: str


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
    #: What was found out about the first file, by subject, and by what.
    facts: dict[str, Fact] = field(default_factory=dict)
    #: Values of options that would read what was refused, by the option's name.
    proposals: dict[str, str] = field(default_factory=dict)

    def note(self, subject: str, value: object, reason: str = "") -> None:
        """Keep what was found out, unless it is known from a file before."""
        self.facts.setdefault(subject, Fact(str(value), reason))

    def propose(self, option: str, value: str) -> None:
        """Keep an option that would read what was refused, unless there is one."""
        self.proposals.setdefault(option, value)
