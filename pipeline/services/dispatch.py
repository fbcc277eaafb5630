"""Release a bounded window of items, shared fairly between batches, and publish their messages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pipeline.domain.fairness import Demand, Window, shares
from pipeline.domain.identity import item_id, task_id
from pipeline.domain.item import Stage
from pipeline.services.context import Context
from pipeline.storage import batches, items, leases, releases
from pipeline.storage.row import Row

LEASE = "dispatch"


@dataclass(frozen=True, slots=True)
class Message:
    """A nudge: which item, which stage, which release. `then` is the stage chained to it."""

    id: int
    epoch: int
    item_id: str
    stage: Stage
    then: Stage | None

    @property
    def task_id(self) -> str:
        return task_id(self.item_id, self.stage, self.epoch)

    @property
    def next_task_id(self) -> str | None:
        return None if self.then is None else task_id(self.item_id, self.then, self.epoch)


#: Hands messages to the broker.
Publish = Callable[[Sequence[Message]], None]


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What a round came to.

    `released` items were published; `is_holder` says whether this process may dispatch; `next_due_at` is when the
    next item that waits for its time comes due.
    """

    released: int
    is_holder: bool
    next_due_at: datetime | None = None


class Dispatcher:
    """Keeps the window full. Several may exist; the one that holds the lease works."""

    def __init__(
        self, context: Context, publish: Publish, *, batch_id: int | None = None, owns_messages: bool = False
    ) -> None:
        """Dispatch all batches, or only `batch_id`. `owns_messages`: the broker is this process's memory."""
        self._context = context
        self._publish = publish
        self._batch_id = batch_id
        self._owns_messages = owns_messages
        self._rate = _Rate()
        settings = context.settings
        slots = settings.concurrency * settings.batch_items
        self._window = Window(smallest=2 * settings.batch_items, largest=max(2 * slots, 20_000))

    @property
    def lease_name(self) -> str:
        return LEASE if self._batch_id is None else f"{LEASE}:{self._batch_id}"

    @property
    def window(self) -> int:
        return self._window.size(self._rate.per_second)

    def dispatch(self, dead: Sequence[str] = ()) -> Dispatched:
        """Refill the window once. Commit, then publish: a publish that is lost is found when its lease runs out."""
        now = self._context.now()
        with self._context.database.write() as connection:
            if not self._take_lease(connection, now, dead):
                return Dispatched(0, is_holder=False)
            active = [batch for batch in batches.unfinished(connection) if self._is_mine(batch)]
            self._rate.measure(active)
            messages = self._release(connection, active, now)
            next_due_at = self._next_due_at(connection, active, now)
        self._publish(messages)
        return Dispatched(len(messages), is_holder=True, next_due_at=next_due_at)

    def stop(self) -> None:
        """Let another take over at once."""
        with self._context.database.write() as connection:
            leases.drop(connection, self.lease_name, self._context.worker)

    def _next_due_at(self, connection: Connection, active: Sequence[Row], now: datetime) -> datetime | None:
        """Return when the next item comes due. What is overdue waits for room, and whoever makes room wakes us."""
        due = [releases.next_due_at(connection, batch["id"], now) for batch in active if batch["state"] == "running"]
        return min((at for at in due if at), default=None)

    def _take_lease(self, connection: Connection, now: datetime, dead: Sequence[str]) -> bool:
        until = now + self._context.lease / 2
        return leases.take(connection, self.lease_name, self._context.worker, now=now, until=until, dead=dead)

    def _is_mine(self, batch: Row) -> bool:
        return self._batch_id is None or batch["id"] == self._batch_id

    def _release(self, connection: Connection, active: Sequence[Row], now: datetime) -> list[Message]:
        running = {batch["id"]: batch for batch in active if batch["state"] == "running"}
        if not running:
            return []
        in_flight = items.in_flight(connection)
        sharing = Counter(batch["fair_key"] for batch in running.values() if batch["fair_key"])
        demands = [
            Demand(id_, batch["weight"] / max(1, sharing[batch["fair_key"]]), in_flight.get(id_, 0))
            for id_, batch in running.items()
        ]
        window = self.window
        free = window - sum(demand.in_flight for demand in demands)
        given = shares(demands, window)
        messages: list[Message] = []
        for batch_id, share in given.items():
            # Floors may exceed the window, but not without bound: beyond, the batches take turns.
            share = min(share, free + window - len(messages))
            messages += self._release_from(connection, running[batch_id], share, now)
        # What some batches could not use goes to the others, again the one with the least in flight first.
        for batch_id in given:
            messages += self._release_from(connection, running[batch_id], free - len(messages), now)
        return messages

    def _release_from(self, connection: Connection, batch: Row, number: int, now: datetime) -> list[Message]:
        if number <= 0:
            return []
        # Items that come back take at most half of what first attempts could use: a storm of retries holds up nobody.
        fresh = releases.fresh(connection, batch["id"], number)
        returning = releases.due(connection, batch["id"], now, max(number // 2, number - len(fresh)))
        chosen = (returning + fresh)[:number]
        if not chosen:
            return []
        released = releases.release(
            connection,
            chosen,
            now=now,
            lease_until=now + self._context.lease,
            worker=self._context.worker if self._owns_messages else None,
        )
        return [_message(batch, each) for each in sorted(released)]


def _message(batch: Row, released: releases.Released) -> Message:
    stages = [Stage(name) for name in batch["stages"].split(",")]
    stage = Stage(released.stage)
    later = stages[stages.index(stage) + 1 :]
    return Message(
        id=released.id,
        epoch=released.epoch,
        item_id=item_id(batch["public_id"], released.position),
        stage=stage,
        then=later[0] if later else None,
    )


class _Rate:
    """Items per second that become final, from the counters, smoothed over about three seconds."""

    def __init__(self) -> None:
        self.per_second = 0.0
        self._final: dict[int, int] = {}
        self._at = time.monotonic()

    def measure(self, active: Sequence[Row]) -> None:
        now = time.monotonic()
        elapsed = now - self._at
        if elapsed < 0.25:
            return
        final = {batch["id"]: batch["succeeded"] + batch["dead"] for batch in active}
        grown = sum(count - self._final.get(id_, count) for id_, count in final.items())
        weight = min(1.0, elapsed / 3.0)
        self.per_second += (max(grown, 0) / elapsed - self.per_second) * weight
        self._final, self._at = final, now
