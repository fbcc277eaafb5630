"""Requests of tasks that are chained to finished ones and run in the same process, without messages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping

from celery.worker import state as worker_state
from celery.worker.request import Request

from pipeline.broker.messages import Task
from pipeline.execution.disposition import Disposition
from workers.engine.engine import Engine
from workers.receive.finish_requests import finish_as
from workers.receive.message_receiver import MessageReceiver


class ChainedRequests:
    """The requests of items that their worker takes on to the last stage itself.

    To Celery and its monitors they are tasks like any other. Their life is told from when the stage before is stored,
    since until then the item may still come back there.
    """

    def __init__(
        self, tasks: Mapping[int, Task], receiver: MessageReceiver, engine: Engine, call_soon: Callable[..., object]
    ) -> None:
        """Make requests for these tasks, by item id.

        Args:
            call_soon: calls a function from the thread that keeps the worker's books.
        """
        self._tasks = dict(tasks)
        self._receiver = receiver
        self._engine = engine
        self._call_soon = call_soon
        self._began = time.monotonic()
        self._of_item: dict[int, Request] = {}

    def publish_next(self, advanced: Collection[int]) -> None:
        """Do nothing: no stage follows."""

    def chain_here(self, items: Collection[int]) -> None:
        """Return None: no stage follows."""

    def begin(self, items: Collection[int]) -> None:
        """Report that the tasks of these items were received and have begun, unless they have ended by then."""
        self._call_soon(self._begin, items)

    def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        """Finish the requests of these items. There is no message to acknowledge."""
        self._call_soon(self._finish_all, dispositions)
        self._engine.count_finished(dispositions.values())

    # --- on the thread that keeps the worker's books --------------------------------------------------------------

    def _begin(self, items: Collection[int]) -> None:
        for item in items:
            if item in self._tasks:
                self._begin_one(item)

    def _begin_one(self, item: int) -> None:
        request = self._of_item[item] = self._receiver.request_of(self._tasks.pop(item))
        self._receiver.announce(request)
        request.on_accepted(os.getpid(), self._began)

    def _finish_all(self, dispositions: Mapping[int, Disposition]) -> None:
        if self._tasks and not self._receiver.is_observed:
            self._count_unobserved([item for item in dispositions if item in self._tasks])
        now = time.time()
        for item, disposition in dispositions.items():
            # Of those that ended as soon as they had begun, everything is reported at once.
            if item in self._tasks:
                self._begin_one(item)
            request = self._of_item.pop(item, None)
            if request is not None:
                finish_as(request, disposition, now)

    def _count_unobserved(self, ended: Collection[int]) -> None:
        """Drop tasks that have begun and ended unseen, and count them for `inspect stats`."""
        for item in ended:
            del self._tasks[item]
        worker_state.total_count[self._receiver.task_name] += len(ended)
        worker_state.all_total_count[0] += len(ended)
