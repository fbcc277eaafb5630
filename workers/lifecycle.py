"""Boot steps: what starts and stops with Celery's worker, its consumer and its prefork children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps, current_app, signals
from celery.worker.components import Pool
from celery.worker.consumer import Tasks
from celery.worker.state import reserved_requests

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.errors import InvalidSettings
from pipeline.settings import Settings
from pipeline.telemetry.meter import NULL, process_meter
from workers import garbage_collector
from workers.engine import prefork_child
from workers.engine.engine import Engine, Roles, running_engine, set_running
from workers.engine.liveness import BEAT_SECONDS, LivenessThread
from workers.logs import configure
from workers.signals import take_over

if TYPE_CHECKING:
    from workers.engine.metrics_server import WorkerMetrics

#: Name of the application.
NAME = "pipeline"
#: The queues that a worker consumes decide what it does.
STAGE_QUEUES = frozenset({"classify", "enrich"})
DISPATCH_QUEUE = "control"
SENDER_QUEUE = "deliver"


class EngineStep(bootsteps.StartStopStep):
    """Starts the engine after the pool's processes and before messages are consumed; stops it in reverse order."""

    requires = (Pool,)
    label = "Engine"

    def __init__(self, worker: Any, **options: Any) -> None:
        # An embedded worker has its own engine.
        self._metrics: WorkerMetrics | None = None
        self.enabled = not getattr(worker, "brings_engine", False)
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        chosen = settings.load()
        if chosen.is_embedded:
            raise InvalidSettings(
                "PIPELINE_BROKER_URL is not set: only `pipeline run` and embedded clients work without a broker; "
                "set it to redis://… or amqp://… to run workers"
            )
        queues = set(worker.app.amqp.queues.consume_from)
        roles = Roles(
            runs_stages=not worker.pool.uses_semaphore and bool(queues & STAGE_QUEUES),
            dispatches=DISPATCH_QUEUE in queues,
            sends=SENDER_QUEUE in queues,
        )
        garbage_collector.calm()
        self._metrics = _metrics(chosen)
        engine = Engine(worker.app, make_context(chosen), roles)
        set_running(worker.app, engine)
        engine.start()
        take_over(engine, worker.pool)
        # Without a secret, the sender sends nothing.
        worker.vitals = LivenessThread(engine.context, queues if chosen.secrets else queues - {SENDER_QUEUE})
        worker.vitals.start()
        if self._metrics is not None:
            self._metrics.begin(_role(queues), worker.vitals.problem)

    def stop(self, worker: Any) -> None:
        self._stop(worker, None)

    def terminate(self, worker: Any) -> None:
        self._stop(worker, 0.0)

    def _stop(self, worker: Any, timeout: float | None) -> None:
        # The pool waits for its children, however long they take.
        prefork_child.tell_to_stop(worker.pool)
        worker.vitals.stop()
        running_engine(worker.app).stop(timeout=timeout)
        if self._metrics is not None:
            self._metrics.stop()


def _metrics(chosen: Settings) -> WorkerMetrics | None:
    """Return the metrics of this process, which `pipeline worker` has prepared."""
    if process_meter() is NULL and not chosen.has_metrics:
        return None
    # Imported here: most workers show no metrics.
    from workers.engine.metrics_server import prepared_metrics, serve_metrics

    return prepared_metrics() or serve_metrics(chosen)


def _role(queues: set[str]) -> str:
    if queues & STAGE_QUEUES:
        return "worker"
    return "sender" if SENDER_QUEUE in queues else "dispatcher"


class Beat(bootsteps.StartStopStep):
    """Reports to the liveness thread whether the consumer is connected and its event loop runs."""

    requires = (Tasks,)
    label = "Vitals"

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._timer: Any = None
        # Without an event loop there is nothing to report.
        self.enabled = consumer.hub is not None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        vitals: LivenessThread = consumer.controller.vitals
        vitals.connected(True)

        def beat() -> None:
            vitals.beat(is_full=len(reserved_requests) >= consumer.qos.value)

        self._timer = consumer.timer.call_repeatedly(BEAT_SECONDS, beat)

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            consumer.controller.vitals.connected(False)


def _start_child(**_: Any) -> None:
    if _is_ours():
        from workers.app import app

        prefork_child.start(app)


def _stop_child(**_: Any) -> None:
    if _is_ours():
        prefork_child.stop()


def _is_ours() -> bool:
    """Return whether this child of a prefork pool is that of a worker of pipeline, not of a program that uses it."""
    # By name: a child has a copy of its parent's application.
    return bool(current_app.main == NAME)


def _set_up_logs(loglevel: Any = None, logfile: Any = None, **_: Any) -> None:
    configure(loglevel, logfile)


def connect() -> None:
    """Connect to Celery's signals."""
    signals.worker_process_init.connect(_start_child)
    signals.worker_process_shutdown.connect(_stop_child)
    signals.setup_logging.connect(_set_up_logs)
