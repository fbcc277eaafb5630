"""A Celery worker in threads of this process, with its own in-memory broker."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import NoReturn

from celery import Celery
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker import state as worker_state

from pipeline.broker.messages import DISPATCH_TASK
from pipeline.context import Context
from pipeline.errors import Unreachable
from pipeline.settings import EMBEDDED_BROKER_URL
from workers.app import make_app
from workers.engine.engine import Engine, set_running
from workers.engine.stage_engine import countdown
from workers.transports.choice import embedded_transport

#: Seconds that a worker may take to start.
START_SECONDS = 30.0
#: Seconds between polls of the in-memory broker. kombu's default of one second would be added to each item's latency.
POLL_SECONDS = 0.005


class InProcessWorker:
    """Processes batches in this process between `start` and `stop`. A process may have several.

    Each has its own application and broker, since Celery keeps most of a worker's state there. What Celery keeps per
    process, such as the flag that stops workers, is not used.

    Args:
        batch_id: process only this batch; None: everything in the database.
    """

    def __init__(self, context: Context, batch_id: int | None) -> None:
        self._context = context
        self._ready = threading.Event()
        self._app = _make_app(context)
        self._engine = Engine(self._app, context, batch_id=batch_id)
        self._controller = _Controller(self._ready.set, app=self._app, **_OPTIONS)
        self._thread = threading.Thread(target=self._controller.start, name="pipeline-worker", daemon=True)

    def start(self) -> None:
        """Start the threads; return once messages are consumed.

        Raises:
            Unreachable: the worker does not start.
        """
        set_running(self._app, self._engine)
        try:
            self._engine.start()
            self._thread.start()
            if not self._ready.wait(START_SECONDS):
                raise Unreachable(f"the embedded worker did not start within {START_SECONDS:.0f} s")
        except BaseException:
            self._ask_to_stop()
            try:
                self._engine.stop(timeout=0.0)
            finally:
                self._forget()
            raise
        # A program that ends without closing its client: its thread pools are gone by then, so nothing can be finished,
        # only handed back.
        atexit.register(self._engine.abandon)

    def wake(self) -> None:
        """Dispatch now."""
        self._engine.wake_dispatch()

    def stop(self, *, deliver: bool) -> None:
        """Stop taking messages, finish fast work, and return the rest to the queue; all of it at once if interrupted.

        Args:
            deliver: wait for callbacks that are due now, for at most `PIPELINE_STOP_SECONDS`.
        """
        left = countdown(self._context.settings.stop_seconds)
        self._ask_to_stop()
        try:
            self._thread.join(left())
            self._stop_engine(deliver, left())
        except BaseException:
            self._stop_engine(False, 0.0)
            raise
        finally:
            self._forget()

    def detach(self) -> None:
        """Leave the worker to the parent, in a child of a fork."""
        atexit.unregister(self._engine.abandon)
        self._forget()

    def _ask_to_stop(self) -> None:
        # Between two messages, Celery's loop does what is pending: the message is there to end its wait for one.
        self._controller.consumer.call_soon(_shut_down)
        self._engine.broker.nudge(DISPATCH_TASK)

    def _stop_engine(self, deliver: bool, timeout: float) -> None:
        self._engine.stop(deliver=deliver, timeout=timeout)
        # Only now: if it is interrupted too, what is left is handed back when the program ends.
        atexit.unregister(self._engine.abandon)

    def _forget(self) -> None:
        set_running(self._app, None)
        for task_id, request in list(worker_state.requests.items()):
            if request.app is self._app:
                worker_state.requests.pop(task_id, None)
        self._app.close()


_OPTIONS = {
    "pool": "threads",
    "without_heartbeat": True,
    "without_mingle": True,
    "without_gossip": True,
}


class _Controller(WorkController):
    """A worker that signals when it starts to consume, and whose engine is started and stopped by its owner."""

    brings_engine = True

    def __init__(self, on_ready: Callable[[], None], **options: object) -> None:
        self._on_ready = on_ready
        super().__init__(**options)

    def on_consumer_ready(self, consumer: object) -> None:
        self._on_ready()

    def _shutdown(self, warm: bool = True) -> None:
        # Celery's own also sets a timeout for every new socket of the process meanwhile. There is no socket here.
        self.blueprint.stop(self, terminate=not warm)
        self.blueprint.join()


def _make_app(context: Context) -> Celery:
    settings = context.settings
    app = make_app()
    app.conf.update(
        broker_url=EMBEDDED_BROKER_URL,
        broker_transport=embedded_transport(is_fast=settings.fast_transport),
        broker_transport_options={"polling_interval": POLL_SECONDS},
        worker_concurrency=settings.concurrency,
        worker_prefetch_multiplier=2 * settings.batch_items,
    )
    # The modules of the tasks first: an application takes the tasks that are known when it is finalized.
    app.loader.import_default_modules()
    app.finalize()
    return app


def _shut_down() -> NoReturn:
    raise WorkerShutdown(0)
