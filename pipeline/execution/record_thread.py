"""The record thread: writes outcomes as they come, many in one transaction, and finishes their items afterwards."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError

from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.database.trouble import log_failure
from pipeline.domain.portions import PORTION_BYTES, portions
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.record import Done, record, unstorable
from pipeline.log import get_logger

if TYPE_CHECKING:
    from pipeline.execution.micro_batch import MicroBatch

log = get_logger(__name__)

#: From this many outcomes on, or from `PORTION_BYTES` of results on, a transaction takes no more.
GROUP = 512


class _Entry(NamedTuple):
    """Outcomes of a micro-batch that became known together."""

    batch: MicroBatch
    done: Sequence[Done]

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.done)


class RecordThread:
    """Takes outcomes from any thread. While one group is written, the next one forms."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipeline-recorder", daemon=True)
        self._thread.start()

    def put(self, batch: MicroBatch, done: Sequence[Done]) -> None:
        """Write outcomes soon, and then call `batch.finish` from this thread."""
        for portion in portions(done, lambda each: each.bytes, count=len(done)):
            self._entries.put(_Entry(batch, portion))

    def close(self, timeout: float) -> None:
        """Write what was put before, then stop; wait for that up to `timeout` seconds."""
        self._closing.set()
        self._entries.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            try:
                self._write(group)
            except Exception as error:
                done = _outcomes(group)
                log_failure(log, "record_failed", error, items=len(done))
                self._finish(group, {each.row["id"]: Disposition(DispositionKind.LOST) for each in done})

    def _next_group(self) -> list[_Entry] | None:
        entry = self._entries.get()
        if entry is None:
            return None
        group, size, size_bytes = [entry], len(entry.done), entry.bytes
        while size < GROUP and size_bytes < PORTION_BYTES:
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                self._entries.put(None)
                break
            group.append(entry)
            size += len(entry.done)
            size_bytes += entry.bytes
        return group

    def _write(self, group: Sequence[_Entry]) -> None:
        done = _outcomes(group)
        try:
            self._finish(group, self._record(done))
        except (DataError, IntegrityError, NotSupportedError) as error:
            if len(done) == 1:
                failed = unstorable(done[0], error.orig if isinstance(error.orig, Exception) else error)
                self._finish(group, self._record([failed]))
                return
            # Something in the group cannot be written. One by one, only that item fails.
            for entry in group:
                for each in entry.done:
                    self._write([_Entry(entry.batch, [each])])

    def _record(self, done: Sequence[Done]) -> dict[int, Disposition]:
        """Write a group, waiting for an unreachable database as long as leases can be held.

        A group that was written although the connection was lost in the commit is stale the second time: its messages
        for the next stage are published when the leases run out.
        """
        return retrying(lambda: self._transaction(done), patience=self._context.lease, stopping=self._closing)

    def _transaction(self, done: Sequence[Done]) -> dict[int, Disposition]:
        context = self._context
        with context.database.write() as connection:
            return record(
                connection,
                done,
                now=context.now(),
                lease=context.lease,
                worker=context.worker,
                hooks=context.hooks,
            )

    def _finish(self, group: Sequence[_Entry], dispositions: Mapping[int, Disposition]) -> None:
        of_batch: dict[MicroBatch, dict[int, Disposition]] = defaultdict(dict)
        for entry in group:
            mine = of_batch[entry.batch]
            for each in entry.done:
                item = each.row["id"]
                mine[item] = dispositions[item]
        for batch, mine in of_batch.items():
            try:
                batch.finish(mine)
            except Exception:
                # What is recorded stays recorded. A message that was not acknowledged is delivered again, and is stale.
                log.exception("settle_failed", items=len(mine))


def _outcomes(group: Sequence[_Entry]) -> list[Done]:
    return [each for entry in group for each in entry.done]
