"""What a client and its handles work with: the context of the services, and the workers of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn, Protocol, TypeVar

from pipeline.bootstrap import reopen
from pipeline.context import Context
from pipeline.errors import ClientClosed, Conflict
from pipeline.fork_gate import ForkGate
from pipeline.fork_hooks import ForkAware, keep_from_parent

T = TypeVar("T")


class EmbeddedWorker(Protocol):
    """Processes batches in this process."""

    def start(self) -> None:
        """Start working; where it works already, look for work now."""

    def stop(self, *, deliver: bool) -> None:
        """Hand back what is not done; `deliver`: send the callbacks that are due first."""


#: Makes the worker of this process: for the batch of a row, or for all.
MakeWorker = Callable[[Context, int | None], EmbeddedWorker]


class Session(ForkAware):
    """The context of the services, and the worker of this process. Thread-safe.

    In a child of a fork it opens a context and starts its own workers when they are first needed.

    Args:
        make_worker: None where workers elsewhere do the work.
    """

    def __init__(self, context: Context, make_worker: MakeWorker | None) -> None:
        self._context = context
        self._make_worker = make_worker
        self._worker: EmbeddedWorker | None = None
        self._only: int | None = None
        self._is_closed = False
        self._is_inherited = False
        #: The thread that closes the client.
        self._closer: int | None = None
        self._make_locks()
        self.watch_forks()

    def _make_locks(self) -> None:
        # Reentrant: a signal handler may close the client in the middle of a start.
        self._starting = threading.RLock()
        self._closing = threading.Lock()
        # Celery and kombu compute much under locks of their classes, which a child would find locked for ever.
        self._using_celery = ForkGate()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a client and its handles cannot be sent to another process; send the id of the batch, and connect there"
        )

    @property
    def context(self) -> Context:
        """The context of the services.

        Raises:
            ClientClosed: the client is closed.
        """
        self.check_open()
        if self._is_inherited:
            with self._starting:
                self._open_in_child()
        return self._context

    def check_open(self) -> None:
        """Raise `ClientClosed` if the client is closed."""
        if self._is_closed:
            raise closed()

    def while_open(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items until the client is closed; then raise `ClientClosed`."""
        for item in items:
            self.check_open()
            yield item
        self.check_open()

    def work(self, only: int | None = None) -> None:
        """Start the worker of this process, on all batches or on the one of this row.

        Raises:
            Conflict: it works already, on something else.
            ClientClosed: the client is closed.
        """
        self.check_open()
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
            ClientClosed: the client is closed.
        """
        self.check_open()
        if self._make_worker is None:
            return
        with self._starting:
            if self._worker is None:
                self._start(self._make_worker, None)
            elif batch is not None and self._only not in (None, batch):
                raise Conflict("this client works on another batch only; open another client to process this one")

    def nudge(self) -> None:
        """Have the workers, here or elsewhere, look for work now. Does nothing if the client was closed meanwhile."""
        if self._is_closed:
            return
        if self._make_worker is None:
            with self._using_celery.passing():
                # Imported here: Celery takes long to import, and a program that only looks at batches never needs it.
                from pipeline.broker.publisher import wake_dispatcher

                wake_dispatcher(self._context.settings)
            return
        with self._starting:
            if self._worker is not None:
                self._worker.start()
            elif not self._is_closed:
                self._start(self._make_worker, None)

    def close(self, *, deliver: bool) -> None:
        """Stop the worker of this process, and close the database. A second call waits for the first."""
        if self._closer == threading.get_ident():
            # From a signal handler or a hook, during a close that goes on afterwards.
            return
        self._is_closed = True
        with self._closing:
            self._closer = threading.get_ident()
            try:
                self._close(deliver)
            finally:
                self._closer = None

    def _close(self, deliver: bool) -> None:
        with self._starting:
            worker, self._worker = self._worker, None
        try:
            if worker is not None:
                worker.stop(deliver=deliver)
        finally:
            self.release_connections()

    def release_connections(self) -> None:
        """Close the connections that are not in use."""
        self._context.database.close()

    def before_fork(self) -> None:
        self._using_celery.close()

    def after_fork_in_parent(self) -> None:
        self._using_celery.reopen()

    def after_fork_in_child(self) -> None:
        keep_from_parent(self._context, self._worker)
        self._is_inherited = True
        self._worker, self._only, self._closer = None, None, None
        self._make_locks()
        self.watch_forks()

    def _open_in_child(self) -> None:
        if self._is_inherited:
            self._context = reopen(self._context)
            self._is_inherited = False

    def _start(self, make: MakeWorker, only: int | None) -> None:
        self.check_open()
        self._open_in_child()
        with self._using_celery.passing():
            worker = make(self._context, only)
            worker.start()
        self._worker, self._only = worker, only
        if self._is_closed and self._closer is None:
            # In a signal handler, during the start: nobody else would stop this worker.
            self._close(deliver=False)
            raise closed()


def closed() -> ClientClosed:
    """Return the error of every call on a closed client."""
    return ClientClosed("this client is closed; open another, and find your batch there with `client.batch(ID)`")
