"""Suggestions for names that nearly exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

#: The search is quadratic, and a folder may hold millions of files.
_MOST_NAMES = 1_000


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the name nearest to `name`, or nothing where none is near."""
    by_folded = {known.casefold(): known for known in islice(names, _MOST_NAMES)}
    near = get_close_matches(name.casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[near[0]]!r}?" if near else ""
