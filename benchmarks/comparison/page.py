"""The place in a page of the documents that a comparison fills."""

from __future__ import annotations

BEGIN, END = "<!-- compare: written by `make bench` -->", "<!-- compare: end -->"


def inserted(page: str, told: str) -> str:
    """Return a page with what a comparison tells in its place, instead of what was there.

    Raises:
        ValueError: the page has no such place.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} with {END} behind it")
    return f"{before}{BEGIN}\n\n{told}\n\n{END}{after}"
