"""Micro-batches: each item keeps its own message, but messages that are there anyway are run together.

`Strategy` is Celery's own hook between a received message and the pool. Ours does for each message what Celery's
default does (revoked and expired, signals, events, the bookkeeping behind `inspect`), and then gathers the requests of
one task until there are `batch_items` of them or `batch_wait_ms` have passed since the first. Each request is settled
on its own, when its item is recorded: acknowledged, its event sent, what is chained to it published.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from celery import Task, bootsteps, signals
from celery.worker.consumer import Tasks
from celery.worker.request import Request
from celery.worker.state import revoked as revoked_ids
from celery.worker.state import task_reserved

from pipeline.domain.item import Stage
from pipeline.log import get_logger
from pipeline.storage.releases import Ref
from workers.children import run_in_child
from workers.engine import Engine, running_engine
from workers.requests import Requests

log = get_logger(__name__)


class ItemTask(Task):
    """A task of one item at one stage."""

    abstract = True
    Strategy = "workers.microbatch:strategy"
    stage: str

    def run_alone(self, item: int, epoch: int) -> str:
        """Run one item outside a worker's micro-batches, and wait until it is recorded."""
        processing = running_engine().processing
        ends = processing.process_to_the_end(Stage(self.stage), [Ref(item, epoch)], lambda _: None)
        return ends[item].end.value


def strategy(task: ItemTask, app: Any, consumer: Any, **_: Any) -> Callable[..., None]:
    """Return the handler of this task's messages."""
    engine = running_engine()
    gatherings = Gatherings.of(consumer)
    slots = gatherings[0].slots if gatherings else Slots(consumer.pool.limit)
    gathering = Gathering(task, consumer, engine, slots)
    gatherings.append(gathering)
    vitals = getattr(consumer.controller, "vitals", None)
    eventer = consumer.event_dispatcher if engine.context.settings.task_events else None

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        request = Request(
            message,
            # Without an event loop, Celery would acknowledge only between two messages, and wait seconds for the next.
            on_ack=ack if consumer.hub else message.ack_log_error,
            on_reject=reject if consumer.hub else message.reject_log_error,
            app=app,
            hostname=consumer.hostname,
            eventer=eventer,
            task=task,
            connection_errors=consumer.connection_errors,
            body=_payload(message),
            headers=message.headers,
            decoded=True,
        )
        if (request.expires or request.id in revoked_ids) and request.revoked():
            return
        signals.task_received.send(sender=consumer, request=request)
        if eventer and eventer.enabled and task.send_events:
            request.send_event(
                "task-received",
                name=request.name,
                args=request.argsrepr,
                kwargs=request.kwargsrepr,
                root_id=request.root_id,
                parent_id=request.parent_id,
                retries=0,
                eta=None,
                expires=request.expires and request.expires.isoformat(),
            )
        if vitals:
            vitals.received()
        task_reserved(request)
        for callback in callbacks or ():
            callback(request)
        gathering.add(request)

    return handle


class Gathering:
    """Requests of one task that wait for company."""

    def __init__(self, task: ItemTask, consumer: Any, engine: Engine, slots: Slots) -> None:
        self._stage = Stage(task.stage)
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
        slots.serve(self._flush_what_has_waited)

    def add(self, request: Request) -> None:
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
        # Celery's own timer thread looks up only now and then; one of these serves a whole micro-batch.
        alarm = threading.Timer(self._wait_seconds, self._ring)
        alarm.daemon = True
        alarm.start()

    def _ring(self) -> None:
        # Set before the look: a slot that comes free in between finds it.
        self._has_waited = True
        if self.slots.are_free:
            self.flush()

    def _flush_what_has_waited(self) -> None:
        if self._has_waited:
            self.flush()

    def flush(self) -> None:
        """Hand what waits to the pool."""
        with self._lock:
            gathered, self._waiting = self._waiting, []
        if not gathered:
            return
        hub = self._consumer.hub
        requests = Requests(
            self._stage,
            gathered,
            self._engine,
            is_connected=lambda: self._is_connected,
            call_soon=hub.call_soon if hub else None,
        )
        self.slots.take()
        try:
            self._hand_over(requests)
        except RuntimeError:
            # The pool has stopped: these messages are not acknowledged, and go back with all that the worker holds.
            log.info("gathering_dropped", items=len(gathered))

    def _hand_over(self, requests: Requests) -> None:
        pool = self._consumer.pool

        def run() -> None:
            try:
                requests.run()
            finally:
                self.slots.give_back()

        def ended(end: Callable[[Any], None], answer: Any) -> None:
            self.slots.give_back()
            end(answer)

        if not pool.uses_semaphore:
            # Celery's pools of threads call back with the answer, of which there is none.
            pool.apply_async(run, callback=lambda _: None)
            return
        pool.apply_async(
            run_in_child,
            (self._stage.value, requests.nudges),
            accept_callback=requests.accepted,
            callback=partial(ended, requests.settle),
            error_callback=partial(ended, requests.lost),
        )

    def close(self, *, is_ending: bool) -> None:
        """Part with a connection: to settle a message of it is not possible any more.

        Args:
            is_ending: nothing more is to be run; what waits goes back to the broker with the connection. Otherwise it
                is run, since not every broker gives it out again: should one do so, the second message is stale.
        """
        self._is_connected = False
        if is_ending:
            with self._lock:
                self._waiting = []
        else:
            self.flush()


class Slots:
    """How many micro-batches a pool may run at once: while all are taken, what waits gathers more company."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] = []

    def serve(self, freed: Callable[[], None]) -> None:
        """Have `freed` called whenever a slot is given back."""
        self._waiting.append(freed)

    @property
    def are_free(self) -> bool:
        return self._taken < self._limit

    def take(self) -> None:
        """Take a slot, even where none is free: a full micro-batch waits in the pool instead."""
        with self._lock:
            self._taken += 1

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1
        for freed in self._waiting:
            if self.are_free:
                freed()


class Gatherings(bootsteps.StartStopStep):
    """Closes the gatherings of a consumer's connection before a new one is made, and at the end."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self.of(consumer)
        super().__init__(consumer, **options)

    @staticmethod
    def of(consumer: Any) -> list[Gathering]:
        """Return the gatherings of a consumer, for adding to."""
        found: list[Gathering] = consumer.__dict__.setdefault("pipeline_gatherings", [])
        return found

    def stop(self, consumer: Any) -> None:
        is_ending = consumer.blueprint.state in (bootsteps.CLOSE, bootsteps.TERMINATE)
        gatherings = self.of(consumer)
        for gathering in gatherings:
            # At the end, the connection outlives this step: what is settled until then is acknowledged.
            gathering.close(is_ending=is_ending)
        gatherings.clear()


def _payload(message: Any) -> Any:
    """Return a message's arguments. Celery's own decoder looks for tagged types, which ids do not have, and is slow."""
    is_plain = message.content_type == "application/json" and not message.headers.get("compression")
    return orjson.loads(message.body) if is_plain else message.payload
