"""Arguments of the Python API, checked and brought into the form that the services take.

Every wrong value raises `InvalidArgument` with the argument's name; what Python itself refuses, such as an unknown
argument, is a `TypeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pipeline.client.batch import AsyncBatch, Batch
from pipeline.domain import bounds
from pipeline.domain.alerts.guard import Guard, parse_guard
from pipeline.domain.bounds import invalid
from pipeline.errors import InvalidInput
from pipeline.sources.columnar.frame import is_frame

State = TypeVar("State", bound=StrEnum)


def batch_name(given: str | Batch | AsyncBatch, name: str = "batch") -> str:
    """Return a batch's id, a prefix of it, or `last`."""
    if isinstance(given, Batch | AsyncBatch):
        return given.id
    if not isinstance(given, str):
        raise invalid(name, given, "an id, a prefix of one, `last`, or a Batch")
    return bounds.TEXT.check(name, given)


def optional_batch_name(given: str | Batch | AsyncBatch | None, name: str = "batch") -> str | None:
    """The same, or None."""
    return None if given is None else batch_name(given, name)


def instant(name: str, given: datetime | timedelta | None, now: datetime) -> datetime | None:
    """Return an instant in UTC; a timedelta is that long ago."""
    if given is None:
        return None
    if not isinstance(given, datetime | timedelta):
        raise invalid(name, given, "an aware datetime, or a timedelta: that long ago")
    if isinstance(given, datetime) and given.utcoffset() is None:
        raise InvalidInput(f"{name} is {given}, which has no time zone; give an aware datetime")
    try:
        return now - given if isinstance(given, timedelta) else given.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"{name} is {given}, which is outside the years 1 to 9999") from None


def state_in(kind: type[State], noun: str, given: str | None) -> State | None:
    """Return a state of this kind.

    Args:
        noun: What has such states, for the message.
    """
    if given is None:
        return None
    # By hand, since an enum shows what it does not know in its error, however deep it is.
    found = next((each for each in kind if isinstance(given, str) and each == given), None)
    if found is None:
        raise InvalidInput(f"there is no {noun} state {bounds.shown(given)}; choose from {', '.join(kind)}")
    return found


def limit(given: int | None) -> int | None:
    """Return how many entries of a list are wanted; None: all."""
    return None if given is None else bounds.LIMIT.check("limit", given)


def delivery_number(name: str, given: int | None) -> int | None:
    """Return the number of a delivery."""
    return None if given is None else bounds.DELIVERY_ID.check(name, given)


def text(name: str, given: str | None) -> str | None:
    """Return a text that can be stored, or None."""
    return None if given is None else bounds.TEXT.check(name, given)


def texts(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """Return texts; a single one may be given alone."""
    found = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else ()
    if not found or not all(isinstance(each, str) for each in found):
        raise invalid(name, given, "one text or several")
    return found


def targets(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """Return the targets of exports; a single one may be given alone, and there may be none."""
    return () if isinstance(given, Iterable) and not given else texts(name, given)


def guards(given: Guard | str | Sequence[Guard | str]) -> tuple[Guard, ...]:
    """Return guards of a batch; a single one may be given alone, and as text."""
    found = (given,) if isinstance(given, Guard | str) else tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(isinstance(each, Guard | str) for each in found):
        raise invalid("guards", given, "pipeline.Guard objects, or texts such as 'rate=5%'")
    return tuple(parse_guard(each) if isinstance(each, str) else each for each in found)


def path(name: str, given: str | Path) -> str:
    """Return a path or a name as text."""
    if not isinstance(given, str | Path):
        raise invalid(name, given, "a name, a path, or a pipeline.Definition")
    if not str(given) or "\0" in str(given):
        raise invalid(name, str(given), "a name, a path, or a pipeline.Definition")
    return str(given)


def a_batch(name: str, given: Batch) -> Batch:
    """Return a batch of a synchronous client."""
    if not isinstance(given, Batch):
        raise invalid(name, given, "a Batch")
    return given


def an_async_batch(name: str, given: AsyncBatch) -> AsyncBatch:
    """Return a batch of an asynchronous client."""
    if not isinstance(given, AsyncBatch):
        raise invalid(name, given, "an AsyncBatch")
    return given


def flag(name: str, given: bool) -> bool:
    """Return whether something is wanted."""
    if not isinstance(given, bool):
        raise invalid(name, given, "True or False")
    return given


def items(given: Any) -> Any:
    """Return the items of a submission, or a data frame. One payload, a text or bytes are no list of items."""
    if is_frame(given):
        return given
    if isinstance(given, Iterable) and not isinstance(given, Mapping | str | bytes | bytearray):
        return given
    raise invalid("items", given, "an iterable of payloads or of pipeline.Item, or a data frame")


def function(name: str, given: Callable[..., object] | None) -> None:
    """Refuse what cannot be called."""
    if given is not None and not callable(given):
        raise invalid(name, given, "a function")
