"""The recorder: one thread that writes outcomes as they come, many in one transaction, and settles their messages."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError

from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.execution.record import Done, Settled, Settlement, record, unstorable
from pipeline.log import get_logger

log = get_logger(__name__)

#: Outcomes in one transaction at the most.
GROUP = 512

#: Told what became of items, by id, after the commit.
Settle = Callable[[Mapping[int, Settled]], None]


class _Entry(NamedTuple):
    done: Done
    settle: Settle


class RecordThread:
    """Takes outcomes from any thread; a group forms from what has come while the last one was written."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._entries: queue.SimpleQueue[Sequence[_Entry] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipeline-recorder", daemon=True)
        self._thread.start()

    def put(self, done: Sequence[Done], settle: Settle) -> None:
        """Have outcomes written; `settle` is called from the recorder's thread when they are."""
        self._entries.put([_Entry(each, settle) for each in done])

    def close(self, timeout: float) -> None:
        """Write what was put before, then stop."""
        self._closing.set()
        self._entries.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            try:
                self._write(group)
            except Exception:
                log.exception("record_failed", items=len(group))
                self._settle(group, {entry.done.row["id"]: Settled(Settlement.LOST) for entry in group})

    def _next_group(self) -> list[_Entry] | None:
        entries = self._entries.get()
        if entries is None:
            return None
        group = list(entries)
        while len(group) < GROUP:
            try:
                more = self._entries.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._entries.put(None)
                break
            group.extend(more)
        return group

    def _write(self, group: Sequence[_Entry]) -> None:
        try:
            self._settle(group, self._record([entry.done for entry in group]))
        except (DataError, IntegrityError, NotSupportedError) as error:
            if len(group) == 1:
                done = unstorable(group[0].done, error.orig if isinstance(error.orig, Exception) else error)
                self._settle(group, self._record([done]))
                return
            # Something in the group cannot be written; one by one, only that item fails.
            for entry in group:
                self._write([entry])

    def _record(self, done: Sequence[Done]) -> dict[int, Settled]:
        """Write a group. A database that is away is waited for, as long as the leases can be held.

        A group that was written although the connection was lost in the commit is stale the second time: its messages
        for the next stage are published when the leases run out.
        """
        context = self._context

        def write() -> dict[int, Settled]:
            with context.database.write() as connection:
                return record(
                    connection,
                    done,
                    now=context.now(),
                    lease=context.lease,
                    worker=context.worker,
                    hooks=context.hooks,
                )

        return retrying(write, patience=context.lease, stopping=self._closing)

    def _settle(self, group: Sequence[_Entry], settled: Mapping[int, Settled]) -> None:
        by_settle: dict[Settle, dict[int, Settled]] = defaultdict(dict)
        for entry in group:
            item = entry.done.row["id"]
            by_settle[entry.settle][item] = settled[item]
        for settle, mine in by_settle.items():
            try:
                settle(mine)
            except Exception:
                # What is recorded stays recorded; a message that was not acknowledged comes again and is stale.
                log.exception("settle_failed", items=len(mine))
