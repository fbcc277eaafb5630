"""A session for an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

from pipeline.client.session import Session, closed
from pipeline.fork_hooks import ForkAware, keep_from_parent

T = TypeVar("T")

#: Threads in which an asynchronous client calls the services; the pool of the database has as many connections.
THREADS = 8


class Stoppable(Protocol):
    """Something that a call waits for, and that can be ended."""

    def stop(self) -> None:
        """End the wait, from any thread."""


class AsyncSession(ForkAware):
    """A session for an event loop: opened when it is first needed, and called in threads.

    The threads are its own: calls that block the loop's default executor do not hold up those of the client.
    """

    def __init__(self, open_: Callable[[], Session]) -> None:
        self._open = open_
        self._session: Session | None = None
        self._is_closed = False
        self._make_threads()
        self.watch_forks()

    def _make_threads(self) -> None:
        self._opening = threading.Lock()
        self._waits: set[Stoppable] = set()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pipeline-client")

    async def call(self, function: Callable[[Session], T]) -> T:
        """Return what a function of the session returns, called in a thread.

        Raises:
            ClientClosed: the client is closed.
        """
        self.check_open()
        return await self._run(self._threads, partial(self._call, function))

    async def call_apart(self, function: Callable[[Session], T]) -> T:
        """The same in a separate thread, for a call that may take as long as the user's code takes.

        Such calls may be as many as they like, and each may wait for others of the client.
        """
        self.check_open()
        return await self._run_apart(partial(self._call, function))

    @contextmanager
    def stopping(self, wait: Stoppable) -> Iterator[None]:
        """End a wait of this block if the client is closed."""
        self._waits.add(wait)
        try:
            yield
        finally:
            self._waits.discard(wait)

    async def close(self, *, deliver: bool) -> None:
        """Close the session if it was opened, and end the threads. A second call waits for the first."""
        self._is_closed = True
        for wait in list(self._waits):
            wait.stop()
        # Not in the threads of the calls, all of which may be busy.
        await self._run_apart(partial(self._close, deliver))
        self._threads.shutdown(wait=False)

    def check_open(self) -> None:
        """Raise `ClientClosed` if the client is closed."""
        if self._is_closed:
            raise closed()

    def after_fork_in_child(self) -> None:
        keep_from_parent(self._threads, self._waits)
        self._make_threads()
        self.watch_forks()

    def _close(self, deliver: bool) -> None:
        # A call that is opening the session ends first: nobody else would close it.
        with self._opening:
            session = self._session
        if session is not None:
            session.close(deliver=deliver)

    async def _run_apart(self, call: Callable[[], T]) -> T:
        thread = ThreadPoolExecutor(1, thread_name_prefix="pipeline-client")
        try:
            return await self._run(thread, call)
        finally:
            thread.shutdown(wait=False)

    async def _run(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        try:
            running = threads.submit(context.run, call)
        except RuntimeError:
            # Another loop has closed the client since this call began.
            self.check_open()
            raise
        return await asyncio.wrap_future(running)

    def _call(self, function: Callable[[Session], T]) -> T:
        return function(self._opened())

    def _opened(self) -> Session:
        with self._opening:
            # Asked again: the client may have been closed while this call waited for a thread.
            self.check_open()
            if self._session is None:
                self._session = self._open()
            return self._session
