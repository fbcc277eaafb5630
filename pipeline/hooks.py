"""Completion hooks: code that runs in the transaction in which items and batches become final.

`delivery.owe` is the built-in hook: it inserts the deliveries owed to callback URLs. A user's own hook gets the same
connection, so that what it writes is committed together with the result or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from pipeline.domain.event import EventType
from pipeline.domain.ids import webhook_id
from pipeline.log import get_logger

log = get_logger(__name__)

#: Events that a log line names where a hook fails.
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an item or a batch, as your hooks see it.

    Receivers of callbacks get the same event: `data` under `data`, and `webhook_id` as the header of that name.

    Args:
        type: What happened.
        batch_id: The batch.
        item_id: The item; None for an event of the batch itself.
        key: Your own id of the item, if it has one.
        seq: The event's position in the batch's log, from 1.
        timestamp: When it happened, in UTC.
        data: The result of the item, or the summary of the batch. `Result.from_data` reads the former.
    """

    type: EventType
    batch_id: str
    item_id: str | None
    key: str | None
    seq: int
    timestamp: datetime
    data: dict[str, Any] = field(repr=False)

    @property
    def webhook_id(self) -> str:
        """The `webhook-id` under which receivers get the event, the same for each of them."""
        return webhook_id(self.batch_id, self.seq)


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, as built-in hooks see it.

    Args:
        batch_row: id of the batch's row.
        seq: the event's position in the batch's log.
        type: what happened.
        item_row: id of the item's row; None for an event of the batch.
        body: the frozen bytes of the event.
        callback_urls: who is owed it, each once.
        public_id: id of the batch, as receivers see it.
        schedule: name of the batch's retry schedule; None: the default.
    """

    batch_row: int
    seq: int
    type: EventType
    item_row: int | None
    body: bytes
    callback_urls: tuple[str, ...]
    public_id: str
    schedule: str | None = None

    def event(self) -> Event:
        """Return the event as users' hooks see it."""
        content = orjson.loads(self.body)
        data = content["data"]
        return Event(
            type=self.type,
            batch_id=data["batch_id"],
            item_id=data.get("item_id"),
            key=data.get("key"),
            seq=self.seq,
            timestamp=datetime.fromisoformat(content["timestamp"]),
            data=data,
        )


#: A user's hook. It must be quick and must not call out: the transaction holds the batch's row.
Hook = Callable[[Connection, Sequence[Event]], object]


#: A hook of pipeline itself: part of what makes items final, so that its failure fails the transaction.
BuiltIn = Callable[[Connection, Sequence[Happening], datetime], None]


class Hooks:
    """Runs the built-in hooks, then the user's, in order.

    Args:
        own: the user's hooks; one that fails is logged, and only its own writes are rolled back.
        built_in: hooks of pipeline, which `bootstrap` registers.
        user_planner: entered while the user's hooks run, see `Database.user_planner`.
    """

    def __init__(
        self,
        own: Sequence[Hook] = (),
        *,
        built_in: Sequence[BuiltIn] = (),
        user_planner: Callable[[Connection], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._own = tuple(own)
        self._built_in = tuple(built_in)
        self._user_planner: Callable[[Connection], AbstractContextManager[object]] = user_planner

    @property
    def own(self) -> tuple[Hook, ...]:
        """The user's hooks."""
        return self._own

    def with_built_in(self, *built_in: BuiltIn) -> Hooks:
        """Return the same hooks of the user with other built-in ones."""
        return Hooks(self._own, built_in=built_in, user_planner=self._user_planner)

    def run(self, connection: Connection, happenings: Sequence[Happening], now: datetime) -> None:
        """Run every hook for events of one batch, inside the transaction that wrote them."""
        for built_in in self._built_in:
            built_in(connection, happenings, now)
        if not self._own:
            return
        events = [each.event() for each in happenings]
        # Before the savepoints: a hook that fails rolls back to the same settings for the next one.
        with self._user_planner(connection):
            for hook in self._own:
                self._guarded(hook, connection, events)

    def _guarded(self, hook: Hook, connection: Connection, events: Sequence[Event]) -> None:
        # A hook that fails takes back what it wrote itself and nothing else: results are not its to hold.
        savepoint = connection.begin_nested()
        try:
            hook(connection, events)
        except Exception:
            savepoint.rollback()
            name = getattr(hook, "__qualname__", type(hook).__name__)
            log.exception("hook_failed", hook=name, events=[each.item_id or each.batch_id for each in events[:_NAMED]])
        else:
            savepoint.commit()
