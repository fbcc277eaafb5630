"""Checks of the file that says where alerts go."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.bootstrap import make_alerts
from pipeline.cli.checks.check import Check, fail, ok
from pipeline.errors import PipelineError
from pipeline.settings import Settings, variable


def check_alerts(settings: Settings) -> Iterator[Check]:
    """Yield whether the file can be used. Nothing is sent."""
    if settings.alerts is None:
        return
    try:
        found = make_alerts(settings).current()
    except PipelineError as error:
        yield fail(variable("alerts"), str(error), "correct the file as the message says")
        return
    channels = ", ".join(f"{each.name} ({each.format.value})" for each in found.channels.values())
    yield ok("alerts", channels or "no channels")
