"""What a client and its handles work with: the context of the services, and the workers of this process."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from pipeline.broker.publisher import wake_dispatcher
from pipeline.context import Context
from pipeline.errors import Conflict

T = TypeVar("T")

#: Threads in which an asynchronous client calls the services; the pool of the database has as many connections.
THREADS = 8


_CLOSED = "this client is closed; open another"


class EmbeddedWorker(Protocol):
    """Processes batches in this process."""

    def start(self) -> None:
        """Start working; where it works already, look for work now."""

    def stop(self, *, deliver: bool) -> None:
        """Hand back what is not done; `deliver`: send the callbacks that are due first."""


#: Makes the worker of this process: for the batch of a row, or for all.
MakeWorker = Callable[[int | None], EmbeddedWorker]


class Session:
    """The context of the services, and the worker of this process. Thread-safe.

    Args:
        make_worker: None where workers elsewhere do the work.
    """

    def __init__(self, context: Context, make_worker: MakeWorker | None) -> None:
        self._context = context
        self._make_worker = make_worker
        self._worker: EmbeddedWorker | None = None
        self._only: int | None = None
        self._is_closed = False
        self._starting = threading.Lock()

    @property
    def context(self) -> Context:
        """The context of the services.

        Raises:
            Conflict: the client is closed.
        """
        if self._is_closed:
            raise Conflict(_CLOSED)
        return self._context

    def work(self, only: int | None = None) -> None:
        """Start the worker of this process, on all batches or on the one of this row.

        Raises:
            Conflict: it works already, on something else; or the client is closed.
        """
        if self._make_worker is None:
            return
        with self._starting:
            if self._worker is None:
                self._start(self._make_worker, only)
            elif self._only != only:
                doing = "all batches" if self._only is None else "one batch only"
                raise Conflict(f"this client already works on {doing}; open another client to change that")

    def ensure_working(self, batch: int | None = None) -> None:
        """Start the worker of this process unless it is running.

        Args:
            batch: row of a batch that somebody waits for.

        Raises:
            Conflict: the worker is restricted to another batch, so that the wait would never end.
        """
        if self._make_worker is None:
            return
        with self._starting:
            if self._worker is None:
                self._start(self._make_worker, None)
            elif batch is not None and self._only not in (None, batch):
                raise Conflict("this client works on another batch only; open another client to process this one")

    def nudge(self) -> None:
        """Have the workers, here or elsewhere, look for work now."""
        if self._make_worker is None:
            wake_dispatcher(self.context.settings)
            return
        with self._starting:
            if self._worker is None:
                self._start(self._make_worker, None)
            else:
                self._worker.start()

    def close(self, *, deliver: bool) -> None:
        """Stop the worker of this process, and close the database."""
        with self._starting:
            self._is_closed = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(deliver=deliver)
        self._context.database.close()

    def _start(self, make: MakeWorker, only: int | None) -> None:
        _ = self.context
        worker = make(only)
        worker.start()
        self._worker, self._only = worker, only


class AsyncSession:
    """A session for an event loop: opened when it is first needed, and called in threads.

    The threads are its own: calls that block the loop's default executor do not hold up those of the client.
    """

    def __init__(self, open_: Callable[[], Session]) -> None:
        self._open = open_
        self._session: Session | None = None
        self._is_closed = False
        self._opening = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pipeline-client")

    async def call(self, function: Callable[[Session], T]) -> T:
        """Return what a function of the session returns, called in a thread.

        Raises:
            Conflict: the client is closed.
        """
        self._refuse_closed()
        return await self._run(self._threads, function)

    async def call_apart(self, function: Callable[[Session], T]) -> T:
        """The same in a thread of its own, for a call that may take as long as the user's code takes.

        Such calls may be as many as they like, and each may wait for others of the client.
        """
        self._refuse_closed()
        thread = ThreadPoolExecutor(1, thread_name_prefix="pipeline-client")
        try:
            return await self._run(thread, function)
        finally:
            thread.shutdown(wait=False)

    async def close(self, *, deliver: bool) -> None:
        """Close the session if it was opened, and end the threads."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            close = partial(session.close, deliver=deliver)
            await asyncio.get_running_loop().run_in_executor(self._threads, close)
        self._threads.shutdown(wait=False)

    async def _run(self, threads: ThreadPoolExecutor, function: Callable[[Session], T]) -> T:
        context = contextvars.copy_context()

        def call() -> T:
            return function(self._opened())

        return await asyncio.get_running_loop().run_in_executor(threads, lambda: context.run(call))

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise Conflict(_CLOSED)

    def _opened(self) -> Session:
        with self._opening:
            # Asked again: the client may have been closed while this call waited for a thread.
            self._refuse_closed()
            if self._session is None:
                self._session = self._open()
            return self._session
