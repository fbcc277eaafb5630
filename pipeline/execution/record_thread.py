"""The record thread: writes outcomes as they come, many in one transaction, and finishes their items afterwards."""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError

from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.database.trouble import log_failure
from pipeline.domain.portions import portions
from pipeline.execution.attempt_pace import AttemptPace
from pipeline.execution.count_outcomes import count_recorded
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.guard_keeper import GuardKeeper
from pipeline.execution.record import Done, record, unstorable
from pipeline.execution.sql.releases import Ref
from pipeline.log import get_logger
from pipeline.telemetry.families import STATEMENT_SECONDS
from pipeline.telemetry.meter import timed

if TYPE_CHECKING:
    from pipeline.execution.micro_batch import MicroBatch

log = get_logger(__name__)

#: From this many outcomes on, or from `PORTION_BYTES` of results on, a transaction takes no more.
GROUP = 512
#: How long a classification waits for the outcome of the next stage, so that one statement writes both.
MERGE_SECONDS = 0.05


#: Gets recorded outcomes, and what became of each item.
Observer = Callable[[Sequence[Done], Mapping[int, Disposition]], None]


class _Recorded(NamedTuple):
    """An outcome to write, and the micro-batch that gave it.

    Args:
        before: the micro-batch of the stage before, if its outcome is written with this one.
    """

    batch: MicroBatch
    done: Done
    before: MicroBatch | None = None


class _Waiting(NamedTuple):
    """A classification whose item is already in the next stage, and when it is written at the latest."""

    recorded: _Recorded
    until: float


class RecordThread:
    """Takes outcomes from any thread. While one group is written, the next one forms.

    An item that goes on to its next stage in this process is written once, if its outcome there comes soon enough.
    """

    def __init__(self, context: Context, observers: Sequence[Observer] = ()) -> None:
        """Start the thread. `observers` are called on it after each commit, and must not wait for anything."""
        self._context = context
        self._guards = GuardKeeper(context)
        self._observers = observers
        self.pace = AttemptPace(context)
        self._entries: queue.SimpleQueue[tuple[MicroBatch, Sequence[Done]] | None] = queue.SimpleQueue()
        #: By release, first come first. Used only on the thread.
        self._waiting: dict[Ref, _Waiting] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipeline-recorder", daemon=True)
        self._thread.start()

    def put(self, batch: MicroBatch, done: Sequence[Done]) -> None:
        """Write outcomes soon, and then call `batch.finish` from this thread."""
        self._entries.put((batch, done))

    def close(self, timeout: float) -> None:
        """Write what was put before, then stop; wait for that up to `timeout` seconds."""
        self._closing.set()
        self._entries.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        is_open = True
        while is_open:
            found, is_open = self._next_group()
            for group in _portions(found):
                try:
                    self._write(group)
                except Exception as error:
                    log_failure(log, "record_failed", error, items=len(group))
                    lost = {each.done.row["id"]: _LOST for each in group}
                    count_recorded(self._context, [each.done for each in group], lost)
                    self._finish(group, lost)

    def _next_group(self) -> tuple[list[_Recorded], bool]:
        """Wait for outcomes. Return those to write now, and whether more can come."""
        group: list[_Recorded] = []
        try:
            entry = self._entries.get(timeout=self._time_left())
            while entry is not None and len(group) < GROUP:
                self._sort(*entry, group)
                entry = self._entries.get_nowait()
        except queue.Empty:
            return group + self._overdue(time.monotonic()), True
        if entry is None:
            return group + self._overdue(float("inf")), False
        self._sort(*entry, group)
        return group + self._overdue(time.monotonic()), True

    def _sort(self, batch: MicroBatch, done: Sequence[Done], group: list[_Recorded]) -> None:
        """Add outcomes to a group, or leave them to wait for those of the next stage."""
        until = time.monotonic() + MERGE_SECONDS
        for each in done:
            if each.continues and not each.is_durable:
                self._waiting[each.ref] = _Waiting(_Recorded(batch, each), until)
                continue
            waiting = self._waiting.pop(each.ref, None)
            if waiting is None:
                group.append(_Recorded(batch, each))
            else:
                before = waiting.recorded
                group.append(_Recorded(batch, each._replace(before=before.done), before.batch))

    def _time_left(self) -> float | None:
        first = next(iter(self._waiting.values()), None)
        return None if first is None else max(first.until - time.monotonic(), 0.0)

    def _overdue(self, now: float) -> list[_Recorded]:
        found = []
        while (first := next(iter(self._waiting.items()), None)) is not None and first[1].until <= now:
            del self._waiting[first[0]]
            found.append(first[1].recorded)
        return found

    def _write(self, group: Sequence[_Recorded]) -> None:
        try:
            self._finish(group, self._record([each.done for each in group]))
        except (DataError, IntegrityError, NotSupportedError) as error:
            if len(group) > 1:
                # Something in the group cannot be written. One by one, only that item fails.
                for each in group:
                    self._write([each])
            elif group[0].before is not None:
                self._write_apart(group[0], group[0].before)
            else:
                failed = unstorable(group[0].done, error.orig if isinstance(error.orig, Exception) else error)
                self._finish(group, self._record([failed]))

    def _write_apart(self, recorded: _Recorded, before: MicroBatch) -> None:
        """Write the two stages of an item one after the other: only one of them cannot be written."""
        if recorded.done.before is not None:
            self._write([_Recorded(before, recorded.done.before)])
        self._write([_Recorded(recorded.batch, recorded.done._replace(before=None))])

    def _record(self, done: Sequence[Done]) -> dict[int, Disposition]:
        """Write a group, waiting for an unreachable database as long as leases can be held.

        A group may have been written although the connection was lost in the commit. The second time, items that had
        moved on to the next stage are found there, see `outcomes.find_advanced`; the others are stale, and final.
        """
        with timed(self._context.meter, STATEMENT_SECONDS, "record"):
            found = retrying(lambda: self._transaction(done), patience=self._context.lease, stopping=self._closing)
        self._guards.recall_stopped()
        count_recorded(self._context, done, found)
        self.pace.add(done)
        return found

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
                guards=self._guards,
            )

    def _finish(self, group: Sequence[_Recorded], dispositions: Mapping[int, Disposition]) -> None:
        # A stage that was written together with the next one is finished first.
        before: dict[MicroBatch, dict[int, Disposition]] = defaultdict(dict)
        of_batch: dict[MicroBatch, dict[int, Disposition]] = defaultdict(dict)
        for each in group:
            item = each.done.row["id"]
            of_batch[each.batch][item] = found = dispositions[item]
            if each.before is not None:
                before[each.before][item] = found if found.kind in _UNWRITTEN else _ADVANCED
        for batch, mine in before.items():
            _finish_in(batch, mine, with_next=True)
        for batch, mine in of_batch.items():
            _finish_in(batch, mine)
        for observer in self._observers:
            _tell(observer, [each.done for each in group], dispositions)


def _tell(observer: Observer, done: Sequence[Done], dispositions: Mapping[int, Disposition]) -> None:
    try:
        observer(done, dispositions)
    except Exception:
        # What an observer says of the work must not stop it.
        log.exception("observer_failed", items=len(done))


def _finish_in(batch: MicroBatch, dispositions: Mapping[int, Disposition], *, with_next: bool = False) -> None:
    try:
        batch.finish(dispositions, with_next=with_next)
    except Exception:
        # What is recorded stays recorded. A message that was not acknowledged is delivered again, and is stale.
        log.exception("settle_failed", items=len(dispositions))


_LOST = Disposition(DispositionKind.LOST)
_ADVANCED = Disposition(DispositionKind.ADVANCED)
_UNWRITTEN = (DispositionKind.LOST, DispositionKind.STALE)


def _portions(group: Iterable[_Recorded]) -> Iterable[list[_Recorded]]:
    """Split a group so that no transaction writes more than `PORTION_BYTES` of results, except a single large one."""
    return portions(list(group), lambda each: each.done.bytes, count=GROUP)
