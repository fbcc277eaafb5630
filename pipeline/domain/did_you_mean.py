"""Suggestions for misspelled and missing names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

# The search is quadratic, so longer names get no suggestion and further choices are not compared.
_MAX_NAME_LENGTH = 80
_MAX_CHOICES = 1_000
#: Names listed in one message.
_MAX_LISTED = 20


def hint(name: str, choices: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the choice closest to `name`, or an empty string if none is close."""
    found = nearest(name, choices)
    return "" if found is None else f"; did you mean {found!r}?"


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice closest to `name`, or None if none is close."""
    if len(name) > _MAX_NAME_LENGTH:
        return None
    by_folded = {choice.casefold(): choice for choice in islice(choices, _MAX_CHOICES)}
    matches = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


def quote_name(name: str) -> str:
    """Return a name for a message: in quotes, and truncated if it is long."""
    return repr(name if len(name) <= _MAX_NAME_LENGTH else f"{name[:_MAX_NAME_LENGTH]}…")


def list_names(names: Iterable[str]) -> str:
    """Return names for a message: the first ones, and how many more there are; `none` if there are none."""
    quoted = [quote_name(name) for name in names]
    more = f" and {len(quoted) - _MAX_LISTED:,} more" if len(quoted) > _MAX_LISTED else ""
    return ", ".join(quoted[:_MAX_LISTED]) + more if quoted else "none"
