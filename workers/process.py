"""One worker process: Celery's own program, as `celery -A workers.app worker` runs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from celery.utils.nodenames import default_nodename, host_format

from workers.app import app


def run(queues: Sequence[str], pool: str, name: str, log_level: str, *, concurrency: int | None = None) -> int:
    """Work in this process until it is told to stop, and return the exit code.

    Not by Celery's command line: to import all of its commands, and those of Flower, takes as long as all else here.

    Args:
        concurrency: children of the prefork pool; None: what celeryconfig.py says.
    """
    # On SIGHUP, Celery replaces this process with one that has the same arguments.
    sys.argv[:1] = ["-m", "pipeline"]
    worker = app.Worker(
        hostname=host_format(default_nodename(f"{name}@%h")),
        pool=pool,
        loglevel=log_level.upper(),
        quiet=True,
        queues=list(queues),
        concurrency=concurrency,
        # Neighbours that greet each other cost more than they tell: SQL knows who is there.
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    return worker.exitcode or 0
