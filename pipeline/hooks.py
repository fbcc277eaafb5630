"""Completion hooks: code that runs in the transaction in which items and batches become final.

`delivery.owe` is the built-in hook: it inserts the deliveries owed to callback URLs. A caller's own hook gets the same
connection, so what it writes there is committed together with the result or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.domain import event
from pipeline.domain.event import EventType
from pipeline.log import get_logger

log = get_logger(__name__)

#: Events that a log line names where a hook fails.
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, as hooks see it.

    Args:
        batch_row: id of the batch's row.
        seq: the event's position in the batch's log.
        type: what happened.
        item_row: id of the item's row; None for an event of the batch.
        body: the frozen bytes of the event.
        callback_urls: who is owed it, each once.
    """

    batch_row: int
    seq: int
    type: EventType
    item_row: int | None
    body: bytes
    callback_urls: tuple[str, ...]

    @property
    def data(self) -> dict[str, Any]:
        """The result, or the batch's summary: what receivers find under `data`."""
        return event.decode_data(self.body)


#: A caller's hook. It must be quick and must not call out: the transaction holds the batch's row.
Hook = Callable[[Connection, Sequence[Happening]], None]


#: A hook of pipeline itself: part of what makes items final, so that its failure fails the transaction.
BuiltIn = Callable[[Connection, Sequence[Happening], datetime], None]


class Hooks:
    """Runs the built-in hooks, then the caller's, in order.

    Args:
        own: the caller's hooks; one that fails is logged, and only its own writes are rolled back.
        built_in: hooks of pipeline, which `bootstrap` registers.
        user_planner: entered while the caller's hooks run, see `Database.user_planner`.
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
        self._user_planner = user_planner

    def run(self, connection: Connection, happenings: Sequence[Happening], now: datetime) -> None:
        """Run every hook for events of one batch, inside the transaction that wrote them."""
        for built_in in self._built_in:
            built_in(connection, happenings, now)
        if not self._own:
            return
        # Before the savepoints: a hook that fails rolls back to the same settings for the next one.
        with self._user_planner(connection):
            for hook in self._own:
                self._guarded(hook, connection, happenings)

    def _guarded(self, hook: Hook, connection: Connection, happenings: Sequence[Happening]) -> None:
        # A hook that fails takes back what it wrote itself and nothing else: results are not its to hold.
        savepoint = connection.begin_nested()
        try:
            hook(connection, happenings)
        except Exception:
            savepoint.rollback()
            name = getattr(hook, "__qualname__", type(hook).__name__)
            log.exception("hook_failed", hook=name, events=[_named(each) for each in happenings[:_NAMED]])
        else:
            savepoint.commit()


def _named(happening: Happening) -> str:
    """Return whose event it is: the item's id, or the batch's."""
    data = happening.data
    return str(data.get("item_id") or data.get("batch_id"))
