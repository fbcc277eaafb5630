"""The embedded mode: a Celery worker in threads of this process, with an in-memory broker."""

from __future__ import annotations

import atexit
import threading

from celery.worker import WorkController
from celery.worker import state as worker_state
from kombu.transport.memory import Channel

from pipeline.broker.messages import DELIVER_TASK, DISPATCH_TASK
from pipeline.context import Context
from pipeline.errors import Conflict, Unreachable
from pipeline.settings import EMBEDDED_BROKER_URL
from workers.app import app
from workers.engine.engine import Engine, set_running
from workers.engine.stage_engine import countdown
from workers.transports.choice import embedded_transport

#: Seconds that a worker may take to start.
START_SECONDS = 30.0


class Embedded:
    """Processes batches in this process between `start` and `stop`. One at a time per process."""

    _alone = threading.Lock()

    def __init__(self, context: Context, *, batch_id: int | None = None) -> None:
        """Args:
        batch_id: process only this batch; None: everything in the database.
        """
        self._context = context
        self._batch_id = batch_id
        self._ready = threading.Event()
        self._engine: Engine | None = None

    def start(self) -> None:
        """Start the threads; return once messages are consumed. If they run already, dispatch now.

        Raises:
            Conflict: this process already has an embedded worker.
            Unreachable: the worker does not start.
        """
        if self._engine is not None:
            self._engine.wake_dispatch()
            return
        if not self._alone.acquire(blocking=False):
            raise Conflict("this process already has an embedded worker; close that client before you open another")
        try:
            self._engine = self._started()
        except BaseException:
            self._alone.release()
            raise
        # A program that ends without closing its client: its thread pools are gone by then, so nothing can be finished,
        # only handed back.
        atexit.register(self._engine.abandon)

    def _started(self) -> Engine:
        # Queues of this transport outlive their connections; messages of a stopped worker are stale.
        Channel.queues.clear()
        app.conf.broker_url = EMBEDDED_BROKER_URL
        app.conf.broker_transport = embedded_transport(is_fast=self._context.settings.fast_transport)
        app.finalize()
        engine = Engine(app, self._context, batch_id=self._batch_id)
        set_running(engine)
        engine.start()
        self._controller = _Worker(self._ready, app=app, **_OPTIONS)
        self._thread = threading.Thread(target=self._controller.start, name="pipeline-worker", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise Unreachable(f"the embedded worker did not start within {START_SECONDS:.0f} s")
        return engine

    def stop(self, *, deliver: bool = True) -> None:
        """Stop taking messages, finish fast work, and return the rest to the queue.

        Args:
            deliver: wait for callbacks that are due now, for at most `PIPELINE_STOP_SECONDS`.
        """
        engine, self._engine = self._engine, None
        if engine is None:
            return
        atexit.unregister(engine.abandon)
        worker_state.should_stop = 0
        # Celery checks the flag between messages and then takes one more: give it two. The transport hands over all
        # messages of a queue together, so they go to two queues; otherwise the second wait would take two seconds.
        for task in (DISPATCH_TASK, DELIVER_TASK):
            engine.broker.nudge(task)
        left = countdown(self._context.settings.stop_seconds)
        self._thread.join(left())
        worker_state.should_stop = None
        engine.stop(deliver=deliver, timeout=left())
        set_running(None)
        worker_state.reset_state()
        self._alone.release()


_OPTIONS = {
    "pool": "threads",
    "without_heartbeat": True,
    "without_mingle": True,
    "without_gossip": True,
}


class _Worker(WorkController):
    """A worker that signals when it starts to consume, and whose engine is started and stopped by its owner."""

    brings_engine = True

    def __init__(self, ready: threading.Event, **options: object) -> None:
        self._ready = ready
        super().__init__(**options)

    def on_consumer_ready(self, consumer: object) -> None:
        self._ready.set()
