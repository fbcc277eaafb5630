"""Arguments of the Python API, checked and brought into the form that the services take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from pipeline.client.batch import AsyncBatch, Batch
from pipeline.delivery.delivery_search import MAX_ID
from pipeline.errors import InvalidInput

State = TypeVar("State", bound=StrEnum)


def batch_name(given: str | Batch | AsyncBatch | None) -> str | None:
    """Return a batch's id, a prefix of it, or `last`."""
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, Batch | AsyncBatch):
        return given.id
    raise InvalidInput(f"batch is {given!r}; give an id, a prefix of one, `last`, or a Batch")


def instant(name: str, given: datetime | timedelta | None, now: datetime) -> datetime | None:
    """Return an instant; a timedelta is that long ago."""
    if isinstance(given, timedelta):
        return now - given
    if given is not None and not isinstance(given, datetime):
        raise InvalidInput(f"{name} is {given!r}; give an aware datetime, or a timedelta: that long ago")
    if given is not None and given.tzinfo is None:
        raise InvalidInput(f"{name} is {given}, which has no time zone; give an aware datetime")
    return given


def state_in(kind: type[State], noun: str, given: str | None) -> State | None:
    """Return a state of this kind.

    Args:
        noun: What has such states, for the message.
    """
    if given is None:
        return None
    try:
        return kind(given)
    except ValueError:
        raise InvalidInput(f"there is no {noun} state {given!r}; choose from {', '.join(kind)}") from None


def whole(name: str, given: int | None, least: int, most: int | None = None) -> int | None:
    """Return a whole number between two."""
    if given is None:
        return None
    if isinstance(given, int) and not isinstance(given, bool) and least <= given and (most is None or given <= most):
        return given
    bounds = f"from {least}" if most is None else f"from {least} to {most}"
    raise InvalidInput(f"{name} is {given!r}; expected a whole number {bounds}")


def limit(given: int | None) -> int | None:
    """Return how many entries of a list are wanted; None: all."""
    return whole("limit", given, 1)


def delivery_number(name: str, given: int | None) -> int | None:
    """Return the number of a delivery."""
    return whole(name, given, 1, MAX_ID)


def texts(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """Return texts; a single one may be given alone."""
    found = (given,) if isinstance(given, str) else tuple(given)
    if not found or not all(isinstance(each, str) for each in found):
        raise InvalidInput(f"{name} is {given!r}; give one text or several")
    return found
