"""The embedded mode: the workers of this process, and the clients that share them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from pipeline.context import Context
from pipeline.fork_hooks import ForkAware, keep_from_parent
from workers.in_process_worker import InProcessWorker


class Embedded:
    """A client's share in a worker of this process.

    Clients with the same database, settings and hooks share one worker, which stops with the last of them. Others have
    their own workers, as they would in separate processes.

    Args:
        batch_id: process only this batch; None: everything in the database.
    """

    def __init__(self, context: Context, *, batch_id: int | None = None) -> None:
        self.context = context
        self.batch_id = batch_id
        self._worker: InProcessWorker | None = None

    def start(self) -> None:
        """Start the worker, unless another client's can be shared. If it runs already, dispatch now.

        Raises:
            Unreachable: the worker does not start.
        """
        if self._worker is None:
            self._worker = _workers.join(self)
        self._worker.wake()

    def stop(self, *, deliver: bool = True) -> None:
        """Leave the worker. The last client stops it; see `InProcessWorker.stop`.

        Args:
            deliver: wait for callbacks that are due now, for at most `PIPELINE_STOP_SECONDS`.
        """
        worker, self._worker = self._worker, None
        if worker is None:
            return
        context = _workers.leave(self)
        if context is None:
            return
        try:
            worker.stop(deliver=deliver)
        finally:
            # It may be the database of a client that was closed before.
            context.database.close()


@dataclass(frozen=True, slots=True)
class _Shared:
    """A worker, and the clients that share it; one that is dropped without being closed does not count."""

    worker: InProcessWorker
    context: Context
    batch_id: int | None
    clients: WeakSet[Embedded] = field(default_factory=WeakSet)

    def suits(self, client: Embedded) -> bool:
        return self.batch_id == client.batch_id and _identity(self.context) == _identity(client.context)


class _Workers(ForkAware):
    """The workers of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shared: list[_Shared] = []
        self.watch_forks()

    def join(self, client: Embedded) -> InProcessWorker:
        """Return a worker for a client, which is started if there is none to share."""
        with self._lock:
            shared = next((each for each in self._shared if each.suits(client)), None)
            if shared is None:
                worker = InProcessWorker(client.context, client.batch_id)
                worker.start()
                shared = _Shared(worker, client.context, client.batch_id)
                self._shared.append(shared)
            shared.clients.add(client)
            return shared.worker

    def leave(self, client: Embedded) -> Context | None:
        """Take a client away. Return the context of its worker if nobody shares that any more, so that it can stop."""
        with self._lock:
            shared = next(each for each in self._shared if client in each.clients)
            shared.clients.discard(client)
            if shared.clients:
                return None
            self._shared.remove(shared)
            return shared.context

    def after_fork_in_child(self) -> None:
        # Their threads are the parent's.
        for each in self._shared:
            each.worker.detach()
        keep_from_parent(*self._shared)
        self._lock = threading.Lock()
        self._shared = []
        self.watch_forks()


def _identity(context: Context) -> tuple[Any, ...]:
    return context.database.url, context.settings, context.hooks.own


_workers = _Workers()
