"""The embedded mode: a Celery worker as threads of this process, on a broker in its memory."""

from __future__ import annotations

import threading
from types import TracebackType

from celery.worker import WorkController
from celery.worker import state as worker_state
from kombu.transport.memory import Channel

from pipeline.broker.messages import DELIVER_TASK, DISPATCH_TASK
from pipeline.context import Context
from pipeline.errors import Conflict, Unreachable
from pipeline.settings import EMBEDDED_BROKER_URL
from workers.app import app
from workers.engine.engine import Engine, running_engine, set_running
from workers.engine.stage_engine import countdown

#: Seconds a worker may take to come up before something is wrong.
START_SECONDS = 30.0


class Embedded:
    """Processes batches in this process, from `start` to `stop`; one at a time."""

    _alone = threading.Lock()

    def __init__(self, context: Context, *, batch_id: int | None = None) -> None:
        """Work on everything in the database, or only on `batch_id`."""
        self._context = context
        self._batch_id = batch_id
        self._ready = threading.Event()

    def start(self) -> None:
        """Start the threads, and return when messages are consumed.

        Raises:
            Conflict: this process has an embedded worker already.
            Unreachable: the worker does not start.
        """
        if not self._alone.acquire(blocking=False):
            raise Conflict("this process has an embedded worker already; close that client before opening another")
        try:
            self._start()
        except BaseException:
            self._alone.release()
            raise

    def _start(self) -> None:
        # Queues of this transport outlive their connections: what a stopped worker left is stale.
        Channel.queues.clear()
        app.conf.broker_url, app.conf.broker_transport = (
            EMBEDDED_BROKER_URL,
            "workers.transports.memory:MemoryTransport",
        )
        app.finalize()
        self._engine = Engine(app, self._context, batch_id=self._batch_id)
        set_running(self._engine)
        self._engine.start()
        self._controller = _Worker(self._ready, app=app, **_OPTIONS)
        self._thread = threading.Thread(target=self._controller.start, name="pipeline-worker", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise Unreachable(f"the embedded worker did not start within {START_SECONDS:.0f} s")

    def stop(self, *, deliver: bool = True) -> None:
        """Stop taking messages, finish what is quick, and hand the rest back.

        Args:
            deliver: wait for callbacks that are due now, for `PIPELINE_STOP_SECONDS` at the most.
        """
        worker_state.should_stop = 0
        # Celery looks at the flag between messages, and after that takes one more: give it both. The transport hands
        # over all messages of a queue together, so they are of two queues; else the second wait would last two seconds.
        for task in (DISPATCH_TASK, DELIVER_TASK):
            self._engine.broker.nudge(task)
        left = countdown(self._context.settings.stop_seconds)
        self._thread.join(left())
        worker_state.should_stop = None
        self._engine.stop(deliver=deliver, timeout=left())
        set_running(None)
        worker_state.reset_state()
        self._alone.release()

    def abandon(self) -> None:
        """Hand back what this process holds without stopping its threads: the program is ending, and they with it."""
        self._engine.abandon()

    def wake(self) -> None:
        """A batch was submitted: dispatch now."""
        running_engine().wake_dispatch()

    def __enter__(self) -> Embedded:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop(deliver=error is None)


_OPTIONS = {
    "pool": "threads",
    "without_heartbeat": True,
    "without_mingle": True,
    "without_gossip": True,
}


class _Worker(WorkController):
    """A worker that says when it consumes, and whose engine is started and stopped around it."""

    brings_engine = True

    def __init__(self, ready: threading.Event, **options: object) -> None:
        self._ready = ready
        super().__init__(**options)

    def on_consumer_ready(self, consumer: object) -> None:
        self._ready.set()
