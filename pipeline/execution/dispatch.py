"""Release a bounded window of items, shared fairly between batches, and publish their messages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection

from pipeline.batches.sql import batches, items, spans
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.ids import item_id, task_id
from pipeline.domain.item import Stage
from pipeline.execution.fresh_items import FreshItems
from pipeline.execution.rescue import unsent
from pipeline.execution.rules.crash_suspects import MAX_TOGETHER, admit_suspects
from pipeline.execution.rules.fairness import Credits, Demand, Window
from pipeline.execution.sql import crash_suspects, pending_batches, releases
from pipeline.execution.sql.crash_suspects import Suspect
from pipeline.execution.sql.pending_batches import PendingBatch
from pipeline.execution.sql.releases import Ref, ReleasedItem
from pipeline.telemetry.families import (
    DISPATCH_IN_FLIGHT,
    DISPATCH_WINDOW,
    PUBLISHED,
    RELEASED,
    STATEMENT_SECONDS,
)

LEASE = "dispatch"


class TaskMessage(NamedTuple):
    """A message about one released item.

    Args:
        then: the stage chained after `stage`, if any.
    """

    id: int
    epoch: int
    item_id: str
    stage: Stage
    then: Stage | None

    @property
    def batch_id(self) -> int:
        return self.id // POSITIONS_PER_BATCH

    @property
    def task_id(self) -> str:
        return task_id(self.item_id, self.stage, self.epoch)

    @property
    def next_task_id(self) -> str | None:
        return None if self.then is None else task_id(self.item_id, self.then, self.epoch)


#: Publishes messages to the broker.
Publish = Callable[[Sequence[TaskMessage]], None]


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The result of one round.

    Args:
        released: number of items released and published.
        is_holder: whether this process holds the lease on dispatching.
        next_due_at: when the next waiting item becomes due.
        is_active: whether anything is pending or in flight.
        is_limited: whether a batch waits for items in flight, since a guard limits how many are in flight.
    """

    released: int
    is_holder: bool
    next_due_at: datetime | None = None
    is_active: bool = False
    is_limited: bool = False


class Dispatcher:
    """Keeps the window of released items full. Of several dispatchers, the one that holds the lease works.

    Args:
        publish: publishes messages; may raise.
        batch_id: dispatch only this batch; None: all.
        owns_messages: whether the broker is this process's memory, so that its messages are lost with it.
    """

    def __init__(
        self, context: Context, publish: Publish, *, batch_id: int | None = None, owns_messages: bool = False
    ) -> None:
        self._context = context
        self._publish = publish
        self._batch_id = batch_id
        self._owns_messages = owns_messages
        self._rate = _Rate()
        self._credits = Credits()
        #: How many items the batch with the strictest guard may have in flight.
        self._limit: int | None = None
        settings = context.settings
        slots = settings.concurrency * settings.batch_items
        self._window = Window(smallest=2 * settings.batch_items, largest=max(2 * slots, 20_000))

    @property
    def lease_name(self) -> str:
        return LEASE if self._batch_id is None else f"{LEASE}:{self._batch_id}"

    @property
    def window(self) -> int:
        return self._window.size(self._rate.per_second)

    @property
    def wake_after(self) -> int:
        """Items after whose end another round is worth its while: half of what may be in flight."""
        return (self.window if self._limit is None else min(self._limit, self.window)) // 2

    def dispatch(self, dead: Sequence[str] = ()) -> Dispatched:
        """Refill the window once: commit, then publish. A lost publish is repaired when its lease runs out.

        Args:
            dead: names of processes that are known to be gone; their lease on dispatching is taken over at once.

        Raises:
            Exception: what the broker raised; items that were not published are pending again.
        """
        now, meter, began = self._context.now(), self._context.meter, time.perf_counter()
        with self._context.database.write() as connection:
            if not self._take_lease(connection, now, dead):
                meter.unset(DISPATCH_WINDOW)
                meter.unset(DISPATCH_IN_FLIGHT)
                return Dispatched(0, is_holder=False)
            pending = [batch for batch in pending_batches.find_pending(connection, now) if self._is_mine(batch.id)]
            flight = self._flight(connection)
            messages = self._release(connection, pending, flight, now)
            messages += self._release_suspects(connection, now)
        messages = self._without_recalled(messages)
        if meter.is_on:
            self._count_released(messages, flight, time.perf_counter() - began)
        try:
            self._publish(messages)
        except Exception:
            meter.add(PUBLISHED, ("failed",), len(messages))
            unsent(self._context, _refs(messages))
            raise
        meter.add(PUBLISHED, ("sent",), len(messages))
        # Overdue items wait for room in the window, and whoever makes room wakes the dispatcher.
        next_due_at = min((batch.next_due_at for batch in pending if batch.next_due_at), default=None)
        is_active = bool(pending or flight.total or messages)
        limits = [each.max_in_flight for each in pending if each.max_in_flight is not None]
        self._limit = min(limits, default=None)
        return Dispatched(
            len(messages), is_holder=True, next_due_at=next_due_at, is_active=is_active, is_limited=bool(limits)
        )

    def _count_released(self, messages: Sequence[TaskMessage], flight: _Flight, seconds: float) -> None:
        meter = self._context.meter
        meter.set(DISPATCH_WINDOW, (), self.window)
        meter.set(DISPATCH_IN_FLIGHT, (), flight.total + len(messages))
        if not messages:
            # An idle dispatcher looks often, and quickly.
            return
        meter.observe(STATEMENT_SECONDS, ("release",), [seconds])
        for stage, number in Counter(message.stage for message in messages).items():
            meter.add(RELEASED, (stage.value,), number)

    def stop(self) -> None:
        """Release the lease, so that another dispatcher takes over at once."""
        with self._context.database.write() as connection:
            leases.release(connection, self.lease_name, self._context.worker)

    def _without_recalled(self, messages: Sequence[TaskMessage]) -> list[TaskMessage]:
        """Return the messages of batches that still run; take back the items of the others.

        A batch that was paused or cancelled meanwhile recalls what is released, but what this round was releasing just
        then it did not see. So this is read after the commit, and nothing is published before.
        """
        if not messages:
            return []
        with self._context.database.read() as connection:
            running = batches.find_running(connection, {message.batch_id for message in messages})
        wanted = [message for message in messages if message.batch_id in running]
        if len(wanted) < len(messages):
            unsent(self._context, _refs(message for message in messages if message.batch_id not in running))
        return wanted

    def _take_lease(self, connection: Connection, now: datetime, dead: Sequence[str]) -> bool:
        until = now + self._context.lease / 2
        return leases.acquire(connection, self.lease_name, self._context.worker, now=now, until=until, dead=dead)

    def _is_mine(self, batch_id: int) -> bool:
        return self._batch_id is None or self._batch_id == batch_id

    def _flight(self, connection: Connection) -> _Flight:
        in_flight: Counter[int] = Counter()
        # Spans first: an item that is claimed between two statements is counted twice rather than not at all.
        for span in spans.delete_claimed(connection):
            in_flight[span.batch_id] += span.unclaimed
        by_row = items.count_by_row(connection)
        for each in by_row:
            in_flight[each.batch_id] += each.released
        in_flight = Counter({id_: count for id_, count in in_flight.items() if self._is_mine(id_)})
        return _Flight(in_flight, sum(each.running for each in by_row if self._is_mine(each.batch_id)))

    def _release(
        self, connection: Connection, pending: Sequence[PendingBatch], flight: _Flight, now: datetime
    ) -> list[TaskMessage]:
        self._rate.measure(flight.total)
        wanting = {batch.id: batch for batch in pending if batch.has_fresh or batch.has_due}
        sharing = Counter(batch.fair_key for batch in wanting.values() if batch.fair_key)
        demands = [
            Demand(id_, batch.weight / max(1, sharing[batch.fair_key]), flight.of_batch.get(id_, 0))
            for id_, batch in wanting.items()
        ]
        free = self.window - flight.queued
        # Items in flight of batches without demand are not part of what is divided.
        window = free + sum(each.in_flight for each in demands)
        fresh = FreshItems(connection)
        room = {
            batch.id: max(0, batch.max_in_flight - flight.of_batch.get(batch.id, 0))
            for batch in wanting.values()
            if batch.max_in_flight is not None
        }
        messages: list[TaskMessage] = []
        unsatisfied: list[PendingBatch] = []
        for batch_id, share in self._credits.shares(demands, free=free, window=window).items():
            # Minimums may exceed the window, up to twice its size; beyond that, batches take turns.
            share = min(share, free + self.window - len(messages), room.get(batch_id, share))
            released = self._release_from(connection, wanting[batch_id], fresh, share, now)
            self._credits.spend(batch_id, len(released))
            if batch_id in room:
                room[batch_id] -= len(released)
            if len(released) >= share:
                unsatisfied.append(wanting[batch_id])
            messages += released
        # Slots that some batches could not use go to the others, those with the fewest items in flight first.
        for batch in unsatisfied:
            share = free - len(messages)
            messages += self._release_from(connection, batch, fresh, min(share, room.get(batch.id, share)), now)
        left_out = fresh.release(now, now + self._context.lease, self._holder)
        if left_out:
            # Not those that were released by row, at positions of such a range.
            messages = [m for m in messages if m.epoch != spans.EPOCH or not any(m.id in ids for ids in left_out)]
        self._rate.released += len(messages)
        return messages

    def _release_from(
        self, connection: Connection, batch: PendingBatch, fresh: FreshItems, number: int, now: datetime
    ) -> list[TaskMessage]:
        if number <= 0:
            return []
        released: list[ReleasedItem] = []
        if batch.has_due:
            # Retries take at most half of what first attempts could use, so that a storm of them cannot delay others.
            most = max(number // 2, number - fresh.count(batch, number))
            released = self._released(connection, releases.find_due(connection, batch.id, now, most), now)
        return [_message(batch, each) for each in released + fresh.take(batch, number - len(released))]

    def _release_suspects(self, connection: Connection, now: datetime) -> list[TaskMessage]:
        waiting = crash_suspects.find_waiting(connection, MAX_TOGETHER, self._batch_id)
        if not waiting:
            return []
        number = admit_suspects(
            [each.crashes for each in waiting], crash_suspects.count_in_flight(connection, self._batch_id)
        )
        chosen = {each.id: each for each in waiting[:number]}
        return [_message(chosen[each.id], each) for each in self._released(connection, list(chosen), now)]

    def _released(self, connection: Connection, chosen: Sequence[int], now: datetime) -> list[ReleasedItem]:
        if not chosen:
            return []
        released = releases.release(
            connection,
            chosen,
            now=now,
            lease_until=now + self._context.lease,
            worker=self._holder,
        )
        return sorted(released)

    @property
    def _holder(self) -> str | None:
        """The process with which messages are lost; None if a broker keeps them."""
        return self._context.worker if self._owns_messages else None


def _refs(messages: Iterable[TaskMessage]) -> list[Ref]:
    return [Ref(message.id, message.epoch) for message in messages]


def _message(batch: PendingBatch | Suspect, released: ReleasedItem) -> TaskMessage:
    stage, then = _from(released.stage, batch.stages)
    return TaskMessage(released.id, released.epoch, item_id(batch.public_id, released.position), stage, then)


@lru_cache(maxsize=64)
def _from(stage: str, stages: str) -> tuple[Stage, Stage | None]:
    """Return a stage and its successor, if there is one."""
    names = stages.split(",")
    later = names[names.index(stage) + 1 :]
    return Stage(stage), Stage(later[0]) if later else None


@dataclass(frozen=True, slots=True)
class _Flight:
    """Released items: their number by batch, and how many of them in all are claimed by workers."""

    of_batch: Mapping[int, int]
    running: int

    @property
    def total(self) -> int:
        return sum(self.of_batch.values())

    @property
    def queued(self) -> int:
        """Items that wait in the broker. The window bounds these; workers bound what runs."""
        return self.total - self.running


class _Rate:
    """The rate at which items stop being in flight, smoothed over about three seconds."""

    def __init__(self) -> None:
        self.per_second = 0.0
        #: Items released since the last measurement.
        self.released = 0
        self._in_flight = 0
        self._at = time.monotonic()

    def measure(self, in_flight: int) -> None:
        now = time.monotonic()
        elapsed = now - self._at
        if elapsed < 0.25:
            return
        left = self._in_flight + self.released - in_flight
        weight = min(1.0, elapsed / 3.0)
        self.per_second += (max(left, 0) / elapsed - self.per_second) * weight
        self._in_flight, self.released, self._at = in_flight, 0, now
