"""What callers of the Python API give, checked and brought into the form that services take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pipeline.client.batch import Batch
from pipeline.delivery.delivery_search import MAX_ID
from pipeline.errors import InvalidInput

#: Deliveries that one call returns at the most.
MOST_LISTED = 100_000


def batch_name(given: str | Batch | None) -> str | None:
    """Return a batch's id, prefix or `last`."""
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, Batch):
        return given.id
    raise InvalidInput(f"batch is {given!r}; give an id, a prefix of one, `last`, or a Batch")


def instant(name: str, given: datetime | timedelta | None, now: datetime) -> datetime | None:
    """Return an instant; a timedelta is so long ago."""
    if given is None or isinstance(given, datetime):
        return given
    if isinstance(given, timedelta):
        return now - given
    raise InvalidInput(f"{name} is {given!r}; give an aware datetime, or a timedelta: so long ago")


def whole(name: str, given: int | None, least: int, most: int) -> int | None:
    """Return a whole number between two."""
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and least <= given <= most):
        return given
    raise InvalidInput(f"{name} is {given!r}; expected a whole number from {least} to {most}")


def number(name: str, given: int | None) -> int | None:
    """Return the number of a delivery."""
    return whole(name, given, 1, MAX_ID)


def texts(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """Return texts; one alone may be given as it is."""
    found = (given,) if isinstance(given, str) else tuple(given)
    if not found or not all(isinstance(each, str) for each in found):
        raise InvalidInput(f"{name} is {given!r}; give one text or several")
    return found
