"""Threads in which use cases run: the event loop itself never waits for the database."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from pipeline.http_api.problems import Problem

T = TypeVar("T")

#: Threads for requests that end soon, and for those that read or write whole batches.
QUICK_THREADS, BULK_THREADS = 8, 4
#: Quick requests that wait for a thread, at most: more would only wait longer than their callers.
_MAX_WAITING = 1_000


class Pool:
    """A bounded number of threads. Use it from one event loop.

    Args:
        name: of its threads.
        size: number of threads.
        max_waiting: calls that wait for a thread; further ones are refused.
    """

    def __init__(self, name: str, size: int, *, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=f"pipeline-{name}")
        self._size, self._max_waiting, self._taken = size, max_waiting, 0

    @classmethod
    def quick(cls) -> Pool:
        """Return the pool for requests that end soon."""
        return cls("quick", QUICK_THREADS, max_waiting=_MAX_WAITING)

    @classmethod
    def bulk(cls) -> Pool:
        """Return the pool for requests that read or write whole batches."""
        return cls("bulk", BULK_THREADS, max_waiting=0)

    def refuse_if_full(self) -> None:
        """Raise `Problem` (busy) if a call would be refused now: before a body is read, say."""
        if self._taken >= self._size + self._max_waiting:
            raise Problem("busy", "all threads for this kind of request are in use; send it again")

    async def run(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a function in a thread and return what it returns.

        A call whose request was cancelled goes on, and keeps its thread until it ends.

        Raises:
            Problem: busy: all threads are in use, and enough calls wait.
        """
        self.refuse_if_full()
        self._taken += 1
        call = partial(contextvars.copy_context().run, function, *args, **options)
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        future.add_done_callback(self._leave)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Let the threads end; calls that wait are dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _leave(self, future: asyncio.Future[Any]) -> None:
        self._taken -= 1
        if not future.cancelled():
            # A caller that is gone asks no more.
            future.exception()
