"""Bounds of arguments: the one place that the command line, the Python API and the services take them from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.errors import InvalidArgument, escape_braces

#: Characters of a value shown in messages.
_SHOWN = 60
#: The largest integer of either database.
_MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def __str__(self) -> str:
        if self.most == _MAX_INTEGER:
            return f"a whole number from {self.least} to 2^63 - 1"
        return f"a whole number from {self.least:,} to {self.most:,}"

    def check(self, name: str, value: Any) -> int:
        """Return `value` if it is within the bounds.

        Args:
            name: the argument's name in the Python API.

        Raises:
            InvalidArgument: it is not.
        """
        if isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most:
            # Not a subclass, such as a number of numpy's or an enum: drivers know none of them.
            return int(value)
        raise invalid(name, value, str(self))


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `least` to `most`. NaN is not a number."""

    least: float
    most: float

    def __str__(self) -> str:
        return f"a number from {self.least:,g}" + ("" if self.most == float("inf") else f" to {self.most:,g}")

    def check(self, name: str, value: Any) -> float:
        """Return `value` if it is within the bounds; raise like `WholeNumber.check`."""
        if isinstance(value, int | float) and not isinstance(value, bool) and self.least <= value <= self.most:
            try:
                return float(value)
            except OverflowError:
                return float("inf")
        raise invalid(name, value, str(self))


@dataclass(frozen=True, slots=True)
class Text:
    """Text of `least` to `most` characters that databases and UTF-8 can hold."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"text of {self.least:,} to {self.most:,} characters"

    def check(self, name: str, value: Any) -> str:
        """Return `value` if it is such a text; raise like `WholeNumber.check`."""
        if not isinstance(value, str):
            raise invalid(name, value, str(self))
        problem = self.find_problem(value)
        if problem is not None:
            raise InvalidArgument("{0} " + escape_braces(problem), name)
        # Not a subclass, such as a member of an enum.
        return value if type(value) is str else str.__str__(value)

    def find_problem(self, text: str) -> str | None:
        """Return what is wrong with a text, phrased to follow its name, or None."""
        if len(text) < self.least:
            return f"is empty; leave it out or give one of {self.least:,} to {self.most:,} characters"
        if len(text) > self.most:
            return f"has {len(text):,} characters; at most {self.most:,} are allowed"
        if "\x00" in text:
            return "contains a NUL character, which databases cannot store; remove it"
        if not is_unicode(text):
            return "is not valid Unicode: it contains half of a surrogate pair, or bytes that are not UTF-8"
        return None


#: The share of a batch relative to others.
WEIGHT = WholeNumber(1, 1_000_000)
#: Entries of a list.
LIMIT = WholeNumber(1, 100_000)
#: The `seq` of an event; 0 is before the first.
SEQ = WholeNumber(0, _MAX_INTEGER)
#: The id of a delivery.
DELIVERY_ID = WholeNumber(1, _MAX_INTEGER)
#: How long to wait, in seconds.
WAIT_SECONDS = Number(0, float("inf"))
#: The caller's name for a submission. PostgreSQL indexes at most 2,704 bytes.
IDEMPOTENCY_KEY = Text(1, 255)
#: The name of a group of batches.
FAIR_KEY = Text(1, 200)
#: The caller's own id of an item.
ITEM_KEY = Text(1, 500)
#: The name of a payload field.
FIELD = Text(1, 500)
#: Any other text, such as the name of a batch.
TEXT = Text(1, 10_000)


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded, that is, contains no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def invalid(name: str, value: Any, expected: str) -> InvalidArgument:
    """Return the error for an argument of a wrong type or out of its bounds."""
    return InvalidArgument(f"{{0}} is {escape_braces(shown(value))}; expected {expected}", name)


def shown(value: Any) -> str:
    """Return a value as messages show it: short, printable, and only the type of what may be large or secret."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return f"{value}" if -(10**30) < value < 10**30 else "an integer of more than 30 digits"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")
    return f"of type {type(value).__name__}"
