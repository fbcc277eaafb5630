"""The messages of a micro-batch whose caller waits until the last item is recorded."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.sql.releases import Ref
from workers.engine.item_message import ItemMessage, next_tasks
from workers.engine.publisher import Publisher


class AwaitedMessages:
    """Collects what becomes of items, for a caller that acknowledges their messages itself.

    An item that is not recorded when the wait ends is handed back.
    """

    def __init__(self, refs: Sequence[Ref], messages: Mapping[int, ItemMessage], publisher: Publisher) -> None:
        """`messages`: by item id, those with the next stage chained to them. Without one, nothing is published."""
        self._messages = messages
        self._publisher = publisher
        self._dispositions = {ref.id: Disposition(DispositionKind.HANDED_BACK) for ref in refs}
        self._missing = set(self._dispositions)
        self._ended = threading.Event()

    def publish_next(self, advanced: Collection[int]) -> None:
        if self._messages:
            self._publisher.put(next_tasks(self._messages, advanced))

    def chain_here(self, items: Collection[int]) -> None:
        """Return None: a caller that waits has a pool's child or a thread of its own, and one stage to run in it."""

    def begin(self, items: Collection[int]) -> None:
        """Do nothing: no stage begins without messages here."""

    def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        self._dispositions.update(dispositions)
        self._missing.difference_update(dispositions)
        if not self._missing:
            self._ended.set()

    def wait(self) -> None:
        """Wait until every item is recorded, or `stop_waiting` is called."""
        self._ended.wait()

    def stop_waiting(self) -> None:
        """End the wait now."""
        self._ended.set()

    def dispositions(self) -> dict[int, Disposition]:
        """Return what became of each item so far."""
        return dict(self._dispositions)
