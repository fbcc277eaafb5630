"""Micro-batches: each item keeps its own message, but messages that are there anyway are run together.

`Strategy` is Celery's own hook between a received message and the pool. Ours does for each message what Celery's
default does (revoked and expired, signals, events, the bookkeeping behind `inspect`), and then gathers the requests of
one task until there are `batch_items` of them or `batch_wait_ms` have passed since the first. Each request is settled
on its own, when its item is recorded: acknowledged, its event sent, what is chained to it published.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from celery import Task, signals
from celery.worker.request import Request
from celery.worker.state import requests as known_requests
from celery.worker.state import revoked as revoked_ids
from celery.worker.state import task_ready, task_reserved

from pipeline import broker
from pipeline.domain.item import Stage
from pipeline.log import get_logger
from pipeline.services.record import Settlement
from pipeline.storage.releases import Ref
from workers.engine import Engine, running_engine

log = get_logger(__name__)


class ItemTask(Task):
    """A task of one item at one stage."""

    abstract = True
    Strategy = "workers.microbatch:strategy"
    stage: str

    def run_alone(self, item: int, epoch: int) -> str:
        """Run one item outside a worker's micro-batches, and wait until it is recorded."""
        return running_engine().process_one(Stage(self.stage), Ref(item, epoch)).value


def strategy(task: ItemTask, app: Any, consumer: Any, **_: Any) -> Callable[..., None]:
    """Return the handler of this task's messages."""
    gathering = Gathering(task, app, consumer, running_engine())
    eventer = consumer.event_dispatcher

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
        task_reserved(request)
        for callback in callbacks or ():
            callback(request)
        gathering.add(request)

    return handle


class Gathering:
    """Requests of one task that wait for company."""

    def __init__(self, task: ItemTask, app: Any, consumer: Any, engine: Engine) -> None:
        self._stage = Stage(task.stage)
        self._broker = broker.Broker(app)
        self._consumer = consumer
        self._engine = engine
        settings = engine.context.settings
        self._most = settings.batch_items
        self._wait_seconds = settings.batch_wait_ms / 1_000
        # With an event loop, its timer flushes between two messages; without one, a thread does, at any time.
        self._lock = threading.Lock()
        self._waiting: list[Request] = []

    def add(self, request: Request) -> None:
        with self._lock:
            self._waiting.append(request)
            number = len(self._waiting)
        if number >= self._most:
            self.flush()
        elif number == 1:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._consumer.hub:
            self._consumer.timer.call_after(self._wait_seconds, self.flush)
            return
        # Celery's own timer thread looks up only now and then; one of these serves a whole micro-batch.
        alarm = threading.Timer(self._wait_seconds, self.flush)
        alarm.daemon = True
        alarm.start()

    def flush(self) -> None:
        """Hand what waits to the pool."""
        with self._lock:
            gathered, self._waiting = self._waiting, []
        if not gathered:
            return
        try:
            self._consumer.pool.apply_async(self._run, (gathered,))
        except RuntimeError:
            # The pool has stopped: these messages are not acknowledged, and go back with all that the worker holds.
            log.info("gathering_dropped", items=len(gathered))

    def _run(self, gathered: Sequence[Request]) -> None:
        accepted = time.monotonic()
        of_item: dict[int, list[Request]] = {}
        for request in gathered:
            request.on_accepted(None, accepted)
            of_item.setdefault(request.args[0], []).append(request)

        def settle(settled: Mapping[int, Settlement]) -> None:
            self._settle([(request, end) for item, end in settled.items() for request in of_item[item]])

        try:
            refs = dict.fromkeys(Ref(*request.args) for request in gathered)
            self._engine.process(self._stage, list(refs), settle)
        except Exception as error:
            # Nothing is lost: what was claimed comes back when its lease runs out, and so does what was not.
            log.exception("microbatch_failed", stage=self._stage.value, items=len(gathered))
            for request in gathered:
                self._fail(request, type(error).__name__)

    def _settle(self, settled: Sequence[tuple[Request, Settlement]]) -> None:
        self._publish([_follow(request) for request, end in settled if end is Settlement.ADVANCED])
        now = time.time()
        for request, end in settled:
            if end is Settlement.PUT_OFF:
                self._end(request, "task-retried", exception="Retry()", traceback="")
            elif end in (Settlement.DEAD, Settlement.LOST):
                self._fail(request, f"{end.value.capitalize()}()")
            else:
                self._end(request, "task-succeeded", result=repr(end.value), runtime=now - (request.time_start or now))
        self._engine.settled([end for _, end in settled])

    def _publish(self, following: Sequence[broker.Task | None]) -> None:
        try:
            self._broker.publish([task for task in following if task is not None])
        except Exception:
            # The items are queued for their next stage: it is published again when their leases run out.
            log.exception("chain_not_published", items=len(following))

    def _fail(self, request: Request, exception: str) -> None:
        self._end(request, "task-failed", exception=exception, traceback="")

    def _end(self, request: Request, event: str, **fields: Any) -> None:
        task_ready(request, successful=event == "task-succeeded")
        known_requests.pop(request.id, None)
        request.acknowledge()
        request.send_event(event, **fields)


def _payload(message: Any) -> Any:
    """Return a message's arguments. Celery's own decoder looks for tagged types, which ids do not have, and is slow."""
    is_plain = message.content_type == "application/json" and not message.headers.get("compression")
    return orjson.loads(message.body) if is_plain else message.payload


def _follow(request: Request) -> broker.Task | None:
    """Return the task chained to a request."""
    chain = (request._payload[2] or {}).get("chain")
    if not chain:
        return None
    return broker.follow(chain[-1], chain[:-1], root_id=request.root_id, parent_id=request.id)
