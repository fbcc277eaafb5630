"""Threads in which use cases run: the event loop itself never waits for the database."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from pipeline.http_api.problems import Problem

T = TypeVar("T")

#: Threads for requests that end soon, and for those that read or write whole batches.
QUICK_THREADS, BULK_THREADS = 8, 5
#: Threads for whole batches that the requests of one key may hold: one is left for others, however slowly it sends.
BULK_SHARE = 4
#: Quick requests that wait for a thread, at most: more would only wait longer than their callers.
_MAX_WAITING = 1_000


class Pool:
    """A bounded number of threads. Use it from one event loop.

    Args:
        name: of its threads.
        size: number of threads.
        max_waiting: calls that wait for a thread; further ones are refused.
        share: threads that calls for one owner may hold; None: all.
    """

    def __init__(self, name: str, size: int, *, max_waiting: int, share: int | None = None) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=f"pipeline-{name}")
        self._size, self._max_waiting, self._taken = size, max_waiting, 0
        self._share = size if share is None else share
        self._held: Counter[str | None] = Counter()

    @classmethod
    def quick(cls) -> Pool:
        """Return the pool for requests that end soon."""
        return cls("quick", QUICK_THREADS, max_waiting=_MAX_WAITING)

    @classmethod
    def bulk(cls) -> Pool:
        """Return the pool for requests that read or write whole batches."""
        return cls("bulk", BULK_THREADS, max_waiting=0, share=BULK_SHARE)

    def refuse_if_full(self) -> None:
        """Raise `Problem` (busy) if a call would be refused now: before a body is read, say."""
        if self._taken >= self._size + self._max_waiting:
            raise Problem("busy", "all threads for this kind of request are in use; send it again")

    def refuse_if_taken(self, owner: str | None) -> None:
        """Raise `Problem` (busy) if a call for an owner would be refused now."""
        self.refuse_if_full()
        if self._held[owner] >= self._share:
            raise Problem("busy", f"{self._share} requests like this one are under way for this key; wait for one")

    async def run(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a function in a thread and return what it returns.

        A call whose request was cancelled goes on, and keeps its thread until it ends.

        Raises:
            Problem: busy: all threads are in use, and enough calls wait.
        """
        self.refuse_if_full()
        return await asyncio.shield(self._submitted(function, *args, **options))

    async def run_for(self, owner: str | None, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a function like `run`, as one of those that an owner may have under way.

        Raises:
            Problem: busy: see `run`, or the owner has its share already.
        """
        self.refuse_if_taken(owner)
        self._held[owner] += 1
        future = self._submitted(function, *args, **options)
        future.add_done_callback(lambda _: self._give_back(owner))
        return await asyncio.shield(future)

    def close(self) -> None:
        """Let the threads end; calls that wait are dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _submitted(self, function: Callable[..., T], *args: Any, **options: Any) -> asyncio.Future[T]:
        self._taken += 1
        call = partial(contextvars.copy_context().run, function, *args, **options)
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        future.add_done_callback(self._leave)
        return future

    def _give_back(self, owner: str | None) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    def _leave(self, future: asyncio.Future[Any]) -> None:
        self._taken -= 1
        if not future.cancelled():
            # A caller that is gone asks no more.
            future.exception()
