"""Children of the prefork pool: processes that run micro-batches, and may die of one without their parent."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from types import FrameType
from typing import Any

from celery import Celery

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.database.retry import retrying
from pipeline.domain.item import Stage
from pipeline.execution.record import Settled
from pipeline.execution.sql.releases import Ref
from pipeline.log import get_logger
from workers.engine.engine import Engine, Roles, running_engine, set_running
from workers.receive.chain_next import Nudge, following

log = get_logger(__name__)

#: How long a starting child waits for a database that is away: well under `worker_proc_alive_timeout`.
START_PATIENCE = timedelta(seconds=30)
#: How long a child that cannot start waits until it ends: the pool starts another in the same moment.
RESTART_SECONDS = 5.0
#: Tells a child to stop in good order. Not one of those with which the pool ends its children.
STOP_SIGNAL = signal.SIGUSR2


def start(app: Celery) -> None:
    """Start the engine of this child.

    A child that cannot have one ends. Celery would only log the error, and the child would fail each micro-batch at
    once, so that most of the work came to it.
    """
    try:
        context = retrying(lambda: make_context(settings.load()), patience=START_PATIENCE)
        engine = Engine(app, context, Roles(dispatches=False, sends=False))
        engine.start()
    except Exception:
        log.exception("child_not_started")
        time.sleep(RESTART_SECONDS)
        os._exit(1)
    set_running(engine)
    _stop_when_told(engine)


def stop(**_: Any) -> None:
    """Stop the engine of this child, which is about to end; at once if that was begun before."""
    running_engine().stop(timeout=0.0 if _told else None)


def tell_to_stop(pool: Any) -> None:
    """Have the children of a pool finish what they have begun, or hand it back after `PIPELINE_STOP_SECONDS`.

    Children that are told a second time hand it back at once. Other pools have none.
    """
    if not pool.uses_semaphore or pool._pool is None:
        return
    for pid in pool.info["processes"]:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, STOP_SIGNAL)


def run_in_child(stage: str, nudges: Sequence[Nudge]) -> dict[int, Settled]:
    """Run a micro-batch in this process to its end, and return what became of each item.

    Every result is stored, and the next stage's message published, as soon as its item is done: only the
    acknowledgements wait for the last.
    """
    processing = running_engine().processing
    refs = dict.fromkeys(Ref(nudge.item, nudge.epoch) for nudge in nudges)
    hear = following(processing, nudges, lambda _: None)
    return processing.process_to_the_end(Stage(stage), list(refs), hear)


#: The signals that told this child to stop.
_told: list[int] = []


def _stop_when_told(engine: Engine) -> None:
    # The one queue that a handler of signals may put into, whatever the thread it interrupts was doing.
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()

    def hear(number: int, _: FrameType | None) -> None:
        _told.append(number)
        heard.put(number)
        if len(_told) > 1:
            engine.hurry()

    def wait() -> None:
        heard.get()
        # The micro-batch that this child runs returns with what is done by then.
        engine.stop()

    threading.Thread(target=wait, name="pipeline-stop", daemon=True).start()
    signal.signal(STOP_SIGNAL, hear)
