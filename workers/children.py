"""Children of the prefork pool: processes that run micro-batches, and may die of one without their parent."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta

from celery import Celery

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.domain.item import Stage
from pipeline.log import get_logger
from pipeline.services.record import Settled
from pipeline.storage.releases import Ref
from pipeline.storage.retry import retrying
from workers.engine import Engine, Roles, running_engine, set_running
from workers.follow import Nudge, following

log = get_logger(__name__)

#: How long a starting child waits for a database that is away: well under `worker_proc_alive_timeout`.
START_PATIENCE = timedelta(seconds=30)
#: How long a child that cannot start waits until it ends: the pool starts another in the same moment.
RESTART_SECONDS = 5.0


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


def run_in_child(stage: str, nudges: Sequence[Nudge]) -> dict[int, Settled]:
    """Run a micro-batch in this process to its end, and return what became of each item.

    Every result is stored, and the next stage's message published, as soon as its item is done: only the
    acknowledgements wait for the last.
    """
    processing = running_engine().processing
    refs = dict.fromkeys(Ref(nudge.item, nudge.epoch) for nudge in nudges)
    hear = following(processing, nudges, lambda _: None)
    return processing.process_to_the_end(Stage(stage), list(refs), hear)
