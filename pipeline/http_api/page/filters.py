"""Filters of a list, and its page by page links: both stand in the URL, so that a view can be shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from pipeline.domain.bounds import shown
from pipeline.http_api.pages import encode_cursor
from pipeline.http_api.problems import Problem

E = TypeVar("E", bound=StrEnum)

#: Characters of a filter. No name or label is longer.
_MAX_LENGTH = 10_000
AFTER = "after"


@dataclass(frozen=True, slots=True)
class Filter:
    """A field of the form above a list.

    Args:
        name: of the parameter.
        label: of the field.
        value: what is chosen; empty: everything.
        options: value and text of each choice beside everything; empty: the field takes any text.
    """

    name: str
    label: str
    value: str = ""
    options: Sequence[tuple[str, str]] = ()


def text_filter(given: QueryParams, name: str, label: str) -> Filter:
    """Return a filter that takes any text.

    Raises:
        Problem: bad_parameter: the text is too long, or cannot occur.
    """
    value = given.get(name, "").strip()
    if len(value) > _MAX_LENGTH or "\0" in value:
        raise _bad(name, value, f"text of at most {_MAX_LENGTH:,} characters")
    return Filter(name, label, value)


def choice_filter(given: QueryParams, name: str, label: str, options: Iterable[str] | Iterable[Enum]) -> Filter:
    """Return a filter that takes one of some values.

    Raises:
        Problem: bad_parameter: the value is none of them.
    """
    known = [str(each.value if isinstance(each, Enum) else each) for each in options]
    value = given.get(name, "")
    if value and value not in known:
        raise _bad(name, value, ", ".join(known))
    return Filter(name, label, value, [(each, each) for each in known])


def chosen(of: type[E], field: Filter) -> E | None:
    """Return the member of an enumeration that a filter names; None: any."""
    return of(field.value) if field.value else None


def is_filtered(fields: Iterable[Filter]) -> bool:
    """Return whether a list shows only some of its entries."""
    return any(field.value for field in fields)


def older_link(fields: Iterable[Filter], position: str | int | None) -> str | None:
    """Return the link to the next page of a list; None: it ends here.

    Args:
        position: behind which it begins.
    """
    return None if position is None else cursor_link(fields, encode_cursor(position))


def cursor_link(fields: Iterable[Filter], cursor: str) -> str:
    """Return the link to the page of a list that begins behind a cursor."""
    return "?" + urlencode({**{field.name: field.value for field in fields if field.value}, AFTER: cursor})


def _bad(name: str, value: str, expected: str) -> Problem:
    return Problem("bad_parameter", f"{name} is {shown(value)}; expected {expected}")
