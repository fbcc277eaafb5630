"""Micro-batches: each item keeps its own message, but messages that are there anyway are run together.

`Strategy` is Celery's own hook between a received message and the pool. Ours gathers the requests of one task until
there are `batch_items` of them or `batch_wait_ms` have passed since the first. Each request is settled on its own, when
its item is recorded: acknowledged, its event sent, what is chained to it published.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Task, bootsteps
from celery.worker.consumer import Tasks
from celery.worker.request import Request

from pipeline.domain.item import Stage
from pipeline.execution.sql.releases import Ref
from pipeline.log import get_logger
from workers.engine.engine import Engine, running_engine
from workers.engine.prefork_child import run_in_child
from workers.receive.message_schema import check_item
from workers.receive.micro_batch import MicroBatch
from workers.receive.receive import Receiver

log = get_logger(__name__)


class ItemTask(Task):
    """A task of one item at one stage."""

    abstract = True
    Strategy = "workers.receive.gather:strategy"
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
    reception = Receiver(task, consumer, check_item, sends_events=engine.context.settings.task_events)

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        request = reception.receive(message, callbacks)
        if request is None:
            return
        if vitals:
            vitals.received()
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
        requests = MicroBatch(
            self._stage,
            gathered,
            self._engine,
            is_connected=lambda: self._is_connected,
            call_soon=hub.call_soon if hub else None,
        )
        give_back = self.slots.take()
        try:
            self._hand_over(requests, give_back)
        except RuntimeError:
            # The pool has stopped: these messages are not acknowledged, and go back with all that the worker holds.
            log.info("gathering_dropped", items=len(gathered))
            give_back()
        except BaseException:
            give_back()
            raise

    def _hand_over(self, requests: MicroBatch, give_back: Callable[[], None]) -> None:
        pool = self._consumer.pool

        def run() -> None:
            try:
                requests.run()
            finally:
                give_back()

        def ended(end: Callable[[Any], None], answer: Any) -> None:
            give_back()
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

    def take(self) -> Callable[[], None]:
        """Take a slot, even where none is free: a full micro-batch waits in the pool instead.

        Returns what gives it back; to call that again changes nothing.
        """
        with self._lock:
            self._taken += 1
        is_back = threading.Lock()

        def give_back() -> None:
            if is_back.acquire(blocking=False):
                self._give_back()

        return give_back

    def _give_back(self) -> None:
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
