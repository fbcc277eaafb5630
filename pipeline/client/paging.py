"""Lists that page themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from pipeline.client.async_session import AsyncSession
from pipeline.client.session import Session

T = TypeVar("T")
Cursor = TypeVar("Cursor")

#: Entries read from the database at once.
PAGE = 500


def paged(
    session: Session,
    page: Callable[[Cursor | None, int], Sequence[T]],
    cursor_of: Callable[[T], Cursor],
    *,
    start: Cursor | None,
    limit: int | None,
) -> Iterator[T]:
    """Return an iterator that yields entries page by page, each page read when its first entry is asked for.

    Args:
        session: While it is open, entries are yielded.
        page: Returns the entries that follow a cursor, at most so many.
        cursor_of: Returns the cursor that the entries behind this one follow.
        limit: At most so many in all.
    """
    session.check_open()
    return _paged(session, page, cursor_of, start, limit)


def _paged(
    session: Session,
    page: Callable[[Cursor | None, int], Sequence[T]],
    cursor_of: Callable[[T], Cursor],
    start: Cursor | None,
    left: int | None,
) -> Iterator[T]:
    while left is None or left > 0:
        size = PAGE if left is None else min(left, PAGE)
        found = page(start, size)
        yield from session.while_open(found)
        if len(found) < size:
            return
        start, left = cursor_of(found[-1]), left if left is None else left - size


async def paged_apart(session: AsyncSession, list_: Callable[[Session], Iterator[T]]) -> AsyncIterator[T]:
    """Yield what an iterator yields that reads pages, a page at a time in a thread."""
    entries = await session.call(list_)
    while page := await session.call(partial(_next_page, entries)):
        for entry in page:
            session.check_open()
            yield entry


def _next_page(entries: Iterator[T], _: Session) -> list[T]:
    return list(islice(entries, PAGE))
