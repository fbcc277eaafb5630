"""The workers of this host: do they make progress?"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checks.check import Check, fail, ok
from pipeline.context import Context
from pipeline.execution.liveness import lives_here


def check_vitals(context: Context) -> Iterator[Check]:
    """Yield, for each worker process of this host, whether it has shown a sign of life in time."""
    lives = lives_here(context)
    if not lives:
        yield fail("workers", "none on this host", "start one: `pipeline worker`")
    for life in lives:
        if life.is_alive:
            yield ok("worker", life.worker)
        else:
            seconds = context.settings.lease_seconds
            yield fail(
                "worker", f"{life.worker} has made no progress for {seconds:g} s", "start it anew; its log says more"
            )
