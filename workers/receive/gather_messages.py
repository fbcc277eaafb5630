"""Gather messages into micro-batches: each item keeps its own message, but messages waiting together run together.

`Strategy` is Celery's own hook between a received message and the pool. This one gathers the requests of one task until
there are `batch_items` of them or `batch_wait_ms` have passed since the first. Each request is finished when its own
item is recorded: its message is acknowledged, its event sent, and the message chained to it published.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from celery import Task, bootsteps
from celery.worker.consumer import Tasks
from celery.worker.request import Request

from pipeline.broker.messages import QUEUE_OF
from pipeline.domain.item import Stage
from pipeline.execution.sql.releases import Ref
from pipeline.log import get_logger
from workers.engine.engine import Engine, running_engine
from workers.engine.prefork_child import run_in_child
from workers.receive.message_receiver import MessageReceiver
from workers.receive.message_schema import check_item
from workers.receive.pool_slots import Slot, Slots
from workers.receive.request_group import RequestGroup

log = get_logger(__name__)


class ItemTask(Task):
    """A task of one item at one stage."""

    abstract = True
    Strategy = "workers.receive.gather_messages:strategy"
    stage: str

    def run_alone(self, item: int, epoch: int) -> str:
        """Run one item outside a worker's micro-batches, and wait until it is recorded.

        Returns:
            What became of it, as a `DispositionKind`.
        """
        engine = running_engine(self.app)
        dispositions = engine.stage_engine.process_and_wait(Stage(self.stage), [Ref(item, epoch)], {})
        return dispositions[item].kind.value


def strategy(task: ItemTask, app: Any, consumer: Any, **_: Any) -> Callable[..., None]:
    """Return the handler of this task's messages."""
    engine = running_engine(app)
    gatherings = Gatherings.of(consumer)
    slots = gatherings[0].slots if gatherings else Slots(consumer.pool.limit)
    receiver = MessageReceiver(task, consumer, check_item, sends_events=engine.context.settings.task_events)
    gathering = Gathering(task, consumer, engine, slots, receiver)
    gatherings.append(gathering)
    vitals = getattr(consumer.controller, "vitals", None)

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        request = receiver.receive(message, callbacks)
        if request is None:
            return
        if vitals:
            vitals.received()
        gathering.add(request)

    return handle


class Gathering:
    """Requests of one task, waiting until enough of them have come to run together."""

    def __init__(self, task: ItemTask, consumer: Any, engine: Engine, slots: Slots, receiver: MessageReceiver) -> None:
        self._stage = Stage(task.stage)
        self.task_name: str = task.name
        self.receiver = receiver
        self._consumer = consumer
        self._engine = engine
        self.slots = slots
        settings = engine.context.settings
        self._most = settings.batch_items
        self._wait_seconds = settings.batch_wait_ms / 1_000
        # With an event loop, its timer flushes between two messages; without one, a thread does, at any time.
        self._lock = threading.Lock()
        self._waiting: list[Request] = []
        self._has_waited = False
        self._is_connected = True
        slots.on_free(self._flush_if_waited)

    def add(self, request: Request) -> None:
        """Add a request; run the micro-batch if this completes it."""
        with self._lock:
            self._waiting.append(request)
            number = len(self._waiting)
        if number >= self._most:
            self.flush()
        elif number == 1:
            self._set_alarm()

    def _set_alarm(self) -> None:
        self._has_waited = False
        if self._consumer.hub:
            self._consumer.timer.call_after(self._wait_seconds, self._ring)
            return
        # Celery's own timer thread wakes up too rarely; one of these serves a whole micro-batch.
        alarm = threading.Timer(self._wait_seconds, self._ring)
        alarm.daemon = True
        alarm.start()

    def _ring(self) -> None:
        # Set before the check: a slot that becomes free in between finds it.
        self._has_waited = True
        if self.slots.are_free:
            self.flush()

    def _flush_if_waited(self) -> None:
        if self._has_waited:
            self.flush()

    def flush(self) -> None:
        """Hand the waiting requests to the pool."""
        with self._lock:
            gathered, self._waiting = self._waiting, []
        if not gathered:
            return
        slot = self.slots.take()
        try:
            self._submit(self._group(gathered, slot))
        except RuntimeError:
            # The pool has stopped: these messages are not acknowledged, and return to the broker with the connection.
            log.info("gathering_dropped", items=len(gathered))
            slot.give_back()
        except BaseException:
            slot.give_back()
            raise

    def _group(self, gathered: list[Request], slot: Slot) -> RequestGroup:
        hub = self._consumer.hub
        return RequestGroup(
            self._stage,
            gathered,
            self._engine,
            slot,
            is_connected=lambda: self._is_connected,
            call_soon=hub.call_soon if hub else None,
            receiver_of=self._receiver_of,
        )

    def _receiver_of(self, task_name: str) -> MessageReceiver | None:
        # Asked every time: queues may be added and cancelled by remote control.
        if QUEUE_OF[task_name] not in self._consumer.app.amqp.queues.consume_from:
            return None
        gatherings = Gatherings.of(self._consumer)
        return next((each.receiver for each in gatherings if each.task_name == task_name), None)

    def _submit(self, group: RequestGroup) -> None:
        pool = self._consumer.pool
        if not pool.uses_semaphore:
            # Celery's thread pools pass the result to a callback; there is none here.
            pool.apply_async(group.run, callback=lambda _: None)
            return
        pool.apply_async(
            run_in_child,
            (self._stage.value, group.messages()),
            accept_callback=group.accepted,
            callback=group.child_finished,
            error_callback=group.child_lost,
        )

    def close(self, *, is_ending: bool) -> None:
        """Detach from a connection: its messages cannot be acknowledged any more.

        Args:
            is_ending: nothing more is to be run, and waiting messages return to the broker with the connection.
                Otherwise they are run, since not every broker delivers them again; if one does, the copy is stale.
        """
        self._is_connected = False
        if is_ending:
            with self._lock:
                self._waiting = []
        else:
            self.flush()


class Gatherings(bootsteps.StartStopStep):
    """Closes the gatherings of a consumer's connection before a new one is opened, and when the worker stops."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self.of(consumer)
        super().__init__(consumer, **options)

    @staticmethod
    def of(consumer: Any) -> list[Gathering]:
        """Return the list of a consumer's gatherings; append new ones to it."""
        found: list[Gathering] = consumer.__dict__.setdefault("pipeline_gatherings", [])
        return found

    def stop(self, consumer: Any) -> None:
        is_ending = consumer.blueprint.state in (bootsteps.CLOSE, bootsteps.TERMINATE)
        gatherings = self.of(consumer)
        for gathering in gatherings:
            # When the worker stops, the connection outlives this step: items recorded until then are acknowledged.
            gathering.close(is_ending=is_ending)
        gatherings.clear()
