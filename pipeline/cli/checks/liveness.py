"""Checks of the workers on this host."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checks.check import Check, fail, ok
from pipeline.context import Context
from pipeline.execution.liveness import lives_here


def check_liveness(context: Context) -> Iterator[Check]:
    """Yield whether each worker process on this host has sent a heartbeat in time."""
    processes = lives_here(context)
    if not processes:
        yield fail("workers", "none on this host", "start one with `pipeline worker`")
    seconds = context.settings.lease_seconds
    for process in processes:
        if process.is_alive:
            yield ok("worker", process.worker)
        else:
            value = f"{process.worker} has made no progress for {seconds:g} s"
            yield fail("worker", value, "see its log, and restart it")
