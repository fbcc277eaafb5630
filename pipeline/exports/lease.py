"""The lease of one process on an export, extended in the background while it is worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.context import Context
from pipeline.database.trouble import log_failure
from pipeline.exports.sql import exports
from pipeline.log import get_logger

log = get_logger(__name__)


class ExportInterrupted(Exception):
    """The lease is lost, or this process stops. Another attempt goes on where this one was."""


class ExportLease:
    """A lease that is held. Whoever works under it asks now and then whether it still is."""

    def __init__(self, context: Context, export_id: int, is_stopped: Callable[[], bool]) -> None:
        self._context = context
        self._export_id = export_id
        self._is_stopped = is_stopped
        self._is_lost = False

    def check(self) -> None:
        """Raise `ExportInterrupted` if the work should end here."""
        if self._is_lost or self._is_stopped():
            raise ExportInterrupted

    def require(self, is_held: object) -> None:
        """Raise `ExportInterrupted` if a conditional statement found the lease in other hands."""
        if not is_held:
            self._is_lost = True
            raise ExportInterrupted

    def extend(self) -> None:
        """Extend it once."""
        context = self._context
        with context.database.write() as connection:
            is_held = exports.extend(connection, self._export_id, context.worker, context.now() + context.lease)
        if not is_held:
            self._is_lost = True


@contextmanager
def held(
    context: Context, export_id: int, is_stopped: Callable[[], bool], dead: Sequence[str]
) -> Iterator[ExportLease | None]:
    """Take the lease on an export, and keep it until the block ends. Yield None if another process has it.

    Args:
        dead: holders whose leases may be taken over at once.
    """
    now = context.now()
    with context.database.write() as connection:
        is_taken = exports.take(connection, export_id, context.worker, now=now, until=now + context.lease, dead=dead)
    if not is_taken:
        yield None
        return
    lease = ExportLease(context, export_id, is_stopped)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(context, lease, ended), name="pipeline-export-lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        ended.set()
        keeper.join()
        with context.database.write() as connection:
            exports.release(connection, export_id, context.worker)


def _keep(context: Context, lease: ExportLease, ended: threading.Event) -> None:
    while not ended.wait(context.lease.total_seconds() / 3):
        try:
            lease.extend()
        except Exception as error:
            # The next round tries again. Every statement that counts checks the lease itself.
            log_failure(log, "export_lease_not_extended", error)
