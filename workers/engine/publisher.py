"""Publish messages from a separate thread, so that a hanging broker does not delay results."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from pipeline.broker.messages import Task
from pipeline.broker.publisher import TaskPublisher
from pipeline.context import Context
from pipeline.execution.rescue import unsent
from pipeline.execution.sql.releases import Ref
from pipeline.log import get_logger
from pipeline.telemetry.families import PUBLISHED
from workers.engine.periodic import guarded

log = get_logger(__name__)


class Publisher:
    """Publishes tasks of released items in order; items that cannot be published are released again."""

    def __init__(self, context: Context, broker: TaskPublisher) -> None:
        self._context = context
        self._broker = broker
        self._waiting: queue.SimpleQueue[Sequence[Task] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="pipeline-publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, tasks: Sequence[Task]) -> None:
        """Queue tasks for publishing; their arguments are an item and its epoch."""
        if tasks:
            self._waiting.put(tasks)

    def stop(self, timeout: float) -> None:
        """Publish what is queued, then stop."""
        self._waiting.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (tasks := self._waiting.get()) is not None:
            try:
                self._broker.publish(tasks)
                self._context.meter.add(PUBLISHED, ("sent",), len(tasks))
            except Exception as error:
                self._context.meter.add(PUBLISHED, ("failed",), len(tasks))
                log.warning("publish_failed", messages=len(tasks), error=type(error).__name__)
                self._give_back(tasks)

    def _give_back(self, tasks: Sequence[Task]) -> None:
        # Some may have been published anyway; their epoch is stale then, and they change nothing.
        guarded(lambda: unsent(self._context, [Ref(*task.args) for task in tasks]))
