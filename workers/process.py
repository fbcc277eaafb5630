"""Run one worker process, as `celery -A workers.app worker` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from celery.utils.nodenames import default_nodename, host_format

from workers.app import app


def run(queues: Sequence[str], pool: str, name: str, log_level: str, *, concurrency: int | None = None) -> int:
    """Work in this process until it is stopped. Return the exit code.

    Does not use Celery's command line: importing all of its commands, and Flower's, takes as long as everything else.

    Args:
        concurrency: children of the prefork pool; default: that of celeryconfig.py.
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
        # Workers that greet each other cost more than they gain: SQL knows which workers exist.
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    return worker.exitcode or 0
