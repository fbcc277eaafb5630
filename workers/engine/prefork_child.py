"""Children of the prefork pool: processes that run micro-batches, and may crash without taking their parent down."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import FrameType
from typing import Any

from celery import Celery

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.database.retry import retrying
from pipeline.database.trouble import log_failure
from pipeline.domain.item import Stage
from pipeline.execution.disposition import Disposition
from pipeline.log import get_logger
from pipeline.telemetry.address import REPORT_TO
from workers.engine.engine import Engine, Roles, running_engine, set_running
from workers.engine.item_message import ItemMessage, latest, refs_of

log = get_logger(__name__)

#: How long a starting child waits for an unreachable database: well under `worker_proc_alive_timeout`.
START_PATIENCE = timedelta(seconds=30)
#: How long a child that cannot start waits before it exits: the pool starts another one at once.
RESTART_SECONDS = 5.0
#: Asks a child to stop in an orderly way. Not one of the signals with which the pool ends its children.
STOP_SIGNAL = signal.SIGUSR2


def start(app: Celery) -> None:
    """Start the engine of this child.

    A child that cannot start one exits. Celery would only log the error, and the child would fail each micro-batch at
    once and so attract most of the work.
    """
    try:
        _begin_metrics()
        context = retrying(lambda: make_context(settings.load()), patience=START_PATIENCE)
        engine = Engine(app, context, Roles(dispatches=False, sends=False))
        engine.start()
    except Exception as error:
        log_failure(log, "child_not_started", error)
        time.sleep(RESTART_SECONDS)
        os._exit(1)
    set_running(app, engine)
    _stop_when_told(engine)


def stop() -> None:
    """Stop the engine of this child, which is about to exit; at once if it was asked to stop before."""
    running_engine().stop(timeout=0.0 if _told else None)
    for stop_metrics in _at_stop:
        stop_metrics()


def _begin_metrics() -> None:
    if REPORT_TO not in os.environ:
        return
    # Imported here: most workers show no metrics.
    from workers.engine.metrics_server import report_from_child

    metrics = report_from_child()
    if metrics is not None:
        metrics.begin("child", lambda: None)
        _at_stop.append(metrics.stop)


#: What ends with this child.
_at_stop: list[Callable[[], None]] = []


def tell_to_stop(pool: Any) -> None:
    """Ask the children of a pool to finish their work, or hand it back after `PIPELINE_STOP_SECONDS`.

    Children that are asked a second time hand it back at once. Pools of threads have no children.
    """
    if not pool.uses_semaphore or pool._pool is None:
        return
    for pid in pool.info["processes"]:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, STOP_SIGNAL)


def run_in_child(stage: str, messages: Sequence[ItemMessage]) -> dict[int, Disposition]:
    """Run a micro-batch in this process, wait until its last item is recorded, and return what became of each.

    Every result is stored, and the next stage's message published, as soon as its item is done. Only the
    acknowledgements wait for the last item: the parent holds the messages.
    """
    return running_engine().stage_engine.process_and_wait(Stage(stage), refs_of(messages), latest(messages))


#: The signals that asked this child to stop.
_told: list[int] = []


def _stop_when_told(engine: Engine) -> None:
    # The one kind of queue that a signal handler may put into, no matter what it interrupts.
    received: queue.SimpleQueue[int] = queue.SimpleQueue()

    def handle(number: int, _: FrameType | None) -> None:
        _told.append(number)
        received.put(number)
        if len(_told) > 1:
            engine.hurry()

    def wait() -> None:
        received.get()
        # The micro-batch that this child runs then returns what is done.
        engine.stop()

    threading.Thread(target=wait, name="pipeline-stop", daemon=True).start()
    signal.signal(STOP_SIGNAL, handle)
