"""Checks of the workers: whether they make progress."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checks.check import Check, fail, ok
from pipeline.context import Context
from pipeline.execution.liveness import Life, lives, lives_here


def check_liveness(context: Context, *, fleet: bool = False) -> Iterator[Check]:
    """Yield whether each worker process has sent a heartbeat in time.

    Args:
        fleet: check the workers of every host, not only those of this one.
    """
    processes = lives(context) if fleet else lives_here(context)
    if not processes:
        yield fail("workers", "none" if fleet else "none on this host", "start one with `pipeline worker`")
    for process in processes:
        yield _check(process, context.settings.lease_seconds)


def _check(process: Life, lease_seconds: float) -> Check:
    name = f"{process.worker} ({', '.join(process.queues)})" if process.queues else process.worker
    if process.is_alive:
        return ok("worker", name)
    return fail("worker", f"{name} has made no progress for {lease_seconds:g} s", "see its log, and restart it")
