"""Celery's requests of one micro-batch: run together, acknowledged one by one as their items are recorded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from celery.worker.request import Request
from celery.worker.state import revoked as revoked_ids

from pipeline.database.trouble import log_failure
from pipeline.domain.item import Stage
from pipeline.execution.disposition import Disposition
from pipeline.log import get_logger
from workers.engine.engine import Engine
from workers.engine.item_message import ItemMessage, latest, next_tasks, refs_of
from workers.receive.chained_requests import ChainedRequests
from workers.receive.finish_requests import finish_as, finish_request
from workers.receive.message_receiver import MessageReceiver
from workers.receive.pool_slots import Slot

log = get_logger(__name__)


class RequestGroup:
    """The requests that one `MicroBatch` processes, until the last of them is acknowledged.

    A pool of threads calls `run`; items then reach `publish_next` and `acknowledge` as they are recorded, see
    `pipeline.execution.micro_batch`. A prefork pool runs the micro-batch in a child and calls `accepted`, then
    `child_finished` or `child_lost`.
    """

    def __init__(
        self,
        stage: Stage,
        requests: Sequence[Request],
        engine: Engine,
        slot: Slot,
        *,
        is_connected: Callable[[], bool],
        call_soon: Callable[..., object] | None,
        receiver_of: Callable[[str], MessageReceiver | None],
    ) -> None:
        """Group requests for one stage.

        Args:
            slot: their place in the pool, given back when the pool is done with them.
            is_connected: whether the connection that delivered the messages still takes acknowledgements.
            call_soon: calls a function from the thread that owns that connection; None: any thread may use it.
            receiver_of: returns the receiver of a task's messages; None: this worker does not consume them.
        """
        self._stage = stage
        self._engine = engine
        self._slot = slot
        self._is_connected = is_connected
        self._call_soon = call_soon or _call_now
        self._receiver_of = receiver_of
        self._began: tuple[int, float] | None = None
        #: By item id. Kept apart from the requests, which are dropped as they are acknowledged.
        self._messages: Mapping[int, ItemMessage] = {}
        self._of_item: dict[int, list[Request]] = {}
        for request in requests:
            self._of_item.setdefault(request.args[0], []).append(request)

    def messages(self) -> list[ItemMessage]:
        """Return what the messages say, for this process or another one."""
        return [_message(request) for requests in self._of_item.values() for request in requests]

    # --- in this process -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the micro-batch in this process. Slow items are recorded and acknowledged later, from other threads."""
        try:
            self._run()
        finally:
            self._slot.give_back()

    def _run(self) -> None:
        self._began = os.getpid(), time.monotonic()
        self._call_soon(self._begin)
        try:
            messages = self.messages()
            self._messages = latest(messages)
            self._engine.stage_engine.process(self._stage, refs_of(messages), self)
        except Exception as error:
            # Nothing is lost: claimed or not, the items come back when their leases run out.
            log_failure(log, "microbatch_failed", error, stage=self._stage.value, items=len(self._of_item))
            self._call_soon(self._fail_rest, type(error).__name__)

    def publish_next(self, advanced: Collection[int]) -> None:
        """Publish what is chained to the messages of these items, from the publisher's thread."""
        self._engine.stage_engine.publish(next_tasks(self._messages, advanced))

    def chain_here(self, items: Collection[int]) -> ChainedRequests | None:
        """Return requests for what is chained to the messages of these items, if this worker consumes such messages."""
        tasks = {task.args[0]: task for task in next_tasks(self._messages, items)}
        receiver = self._receiver_of(next(iter(tasks.values())).name) if len(tasks) == len(items) else None
        # Celery's own way to revoke a task is to drop its message.
        if receiver is None or any(task.id in revoked_ids for task in tasks.values()):
            return None
        return ChainedRequests(tasks, receiver, self._engine, self._call_soon)

    def begin(self, items: Collection[int]) -> None:
        """Do nothing: these requests begin with their messages."""

    def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        """Acknowledge the messages of these items, from the connection's thread."""
        self._acknowledge(dispositions)
        self._engine.count_finished(dispositions.values())

    def _acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        # A broker that hangs must not hold up the thread that records results.
        self._call_soon(self._finish_all, dispositions)

    # --- in a child of a prefork pool ----------------------------------------------------------------------------

    def accepted(self, pid: int, at: float) -> None:
        """Note that the child `pid` has begun, at the `time.monotonic()` given."""
        self._began = pid, at
        self._begin()

    def child_finished(self, dispositions: Mapping[int, Disposition]) -> None:
        """Acknowledge all messages: the child has recorded their items and published what follows."""
        self._slot.give_back()
        self._acknowledge(dispositions)
        self._engine.count_finished(dispositions.values(), in_child=True)

    def child_lost(self, failure: Any) -> None:
        """Fail the requests whose child is gone. SQL knows which items it held, and the sweeps take them back."""
        self._slot.give_back()
        log.warning("child_lost", stage=self._stage.value, items=len(self._of_item), error=_error_type(failure))
        self._fail_rest(_error_type(failure))
        self._engine.look_for_lost()

    # --- on the thread that owns the connection ------------------------------------------------------------------

    def _begin(self) -> None:
        # An event loop runs callbacks in any order: whichever comes first, begin or finish, does this.
        began, self._began = self._began, None
        if began is None:
            return
        for requests in self._of_item.values():
            for request in requests:
                request.on_accepted(*began)

    def _finish_all(self, dispositions: Mapping[int, Disposition]) -> None:
        self._begin()
        now = time.time()
        for item, disposition in dispositions.items():
            for request in self._of_item.pop(item, ()):
                finish_as(request, disposition, now, is_connected=self._is_connected())

    def _fail_rest(self, error: str) -> None:
        self._begin()
        for item in list(self._of_item):
            for request in self._of_item.pop(item, ()):
                finish_request(request, "task-failed", is_connected=self._is_connected(), exception=error, traceback="")


def _call_now(function: Callable[..., object], *arguments: Any) -> None:
    function(*arguments)


def _message(request: Request) -> ItemMessage:
    item, epoch = request.args
    chain = (request._payload[2] or {}).get("chain") or None
    return ItemMessage(item, epoch, request.id, request.root_id, chain)


def _error_type(failure: Any) -> str:
    # Billiard passes its record of an exception, which may wrap it together with its traceback.
    exception = getattr(failure, "exception", failure)
    return type(getattr(exception, "exc", exception)).__name__
