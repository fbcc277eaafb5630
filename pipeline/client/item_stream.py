"""Items on their way from an event loop to the thread that stores them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

#: Items that cross from the loop to the thread at once: each crossing costs about as much as storing ten items.
CHUNK = 500


class StreamStopped(Exception):
    """Nobody waits for the submission any more."""


class ItemStream(Generic[T]):
    """Items of any iterable, plain or asynchronous, for a thread to iterate over.

    Made on the event loop. A plain iterable is read in the thread, an asynchronous one on the loop.
    """

    def __init__(self, items: Iterable[T] | AsyncIterable[T]) -> None:
        self.items = items
        self._loop = asyncio.get_running_loop()
        self._is_stopped = False
        self._next: Future[list[T]] | None = None

    def stop(self) -> None:
        """Have the thread raise `StreamStopped` in place of the next item, so that it stores nothing."""
        self._is_stopped = True
        if self._next is not None:
            self._next.cancel()

    def __iter__(self) -> Iterator[T]:
        return self.guarded(self._read())

    def guarded(self, items: Iterable[U]) -> Iterator[U]:
        """Yield items until the stream is stopped; then raise `StreamStopped`."""
        for item in items:
            if self._is_stopped:
                raise StreamStopped
            yield item
        # An iterable that ends because the loop is being closed has not come to its end.
        if self._is_stopped:
            raise StreamStopped

    def _read(self) -> Iterator[T]:
        if not isinstance(self.items, AsyncIterable):
            yield from self.items
            return
        items = aiter(self.items)
        while True:
            self._next = asyncio.run_coroutine_threadsafe(_take(items), self._loop)
            if self._is_stopped:
                # Said before there was anything to cancel.
                self._next.cancel()
            try:
                chunk = self._next.result()
            except CancelledError:
                if self._is_stopped:
                    raise StreamStopped from None
                raise
            yield from chunk
            if len(chunk) < CHUNK:
                return


async def _take(items: AsyncIterator[T]) -> list[T]:
    chunk: list[T] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            break
    return chunk
