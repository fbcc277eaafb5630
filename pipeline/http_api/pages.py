"""Pages of lists: a page ends at a key of the order, and the next one begins behind it."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import Field

from pipeline.delivery.sql.delivery_pages import PagePosition
from pipeline.domain.bounds import DELIVERY_ID, shown
from pipeline.http_api.parameters import Parameters
from pipeline.http_api.problems import Problem

R = TypeVar("R")

_MAX_CURSOR = 1_000


class PageQuery(Parameters):
    """Which page of a list."""

    after: str | None = Field(None, max_length=_MAX_CURSOR, description="`next` of the page before.")
    limit: int = Field(100, ge=1, le=1_000, description="Entries on a page.")


def encode_cursor(position: str | int) -> str:
    """Return where a list goes on as text that callers need not understand."""
    return urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def read_cursor(text: str | None) -> str | None:
    """Return where a list goes on, None at its beginning.

    Raises:
        Problem: bad_cursor: the text is not one of `encode_cursor`.
    """
    if text is None:
        return None
    try:
        decoded = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeError, ValueError):
        decoded = ""
    if not decoded or "\0" in decoded or encode_cursor(decoded) != text:
        raise bad_cursor(text)
    return decoded


def read_id_cursor(text: str | None) -> int | None:
    """Return the id behind which a list goes on, None at its beginning; raise like `read_cursor`."""
    found = read_cursor(text)
    if found is None:
        return None
    return parse_id(found)


def parse_id(text: str) -> int:
    """Return the id in a cursor.

    Raises:
        Problem: bad_cursor: it is none.
    """
    # The length first: Python refuses to parse thousands of digits.
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(DELIVERY_ID.most)):
        raise bad_cursor(text)
    number = int(text)
    if number > DELIVERY_ID.most:
        raise bad_cursor(text)
    return number


def encode_delivery_cursor(position: PagePosition) -> str:
    """Return where a list of deliveries goes on."""
    return encode_cursor(position.id if position.seq is None else f"{position.seq}.{position.id}")


def read_delivery_cursor(text: str | None, *, is_of_batch: bool) -> PagePosition | None:
    """Return where a list of deliveries goes on, None at its beginning.

    Args:
        is_of_batch: whether the list is of one batch or item, and in the order of its events.

    Raises:
        Problem: bad_cursor: it is none of ours, or of a list in another order.
    """
    found = read_cursor(text)
    if found is None:
        return None
    seq, _, number = found.rpartition(".")
    if bool(seq) is not is_of_batch:
        raise bad_cursor(found)
    return PagePosition(parse_id(seq) if seq else None, parse_id(number))


def page(found: Sequence[R], limit: int, key: Callable[[R], str | int], show: Callable[[R], Any]) -> dict[str, Any]:
    """Return a page as the API answers it.

    Args:
        found: up to `limit` + 1 entries in order: one more says that the list goes on.
        key: of an entry in the order.
    """
    shown_entries = found[:limit]
    has_more = len(found) > limit
    return {
        "data": [show(each) for each in shown_entries],
        "next": encode_cursor(key(shown_entries[-1])) if has_more else None,
        "has_more": has_more,
    }


def bad_cursor(text: str) -> Problem:
    """Return the problem of a cursor that is none of ours."""
    expected = "expected `next` of the page before"
    return Problem(
        "bad_cursor", f"after is {shown(text)}; {expected}", errors=[{"parameter": "after", "detail": expected}]
    )
