"""The Celery application: `celery -A workers.app worker`."""

from __future__ import annotations

from celery import Celery

from workers import lifecycle
from workers.receive.gather_messages import Gatherings


def make_app() -> Celery:
    """Return an application. It is not the current one, which may be that of a program that pipeline is embedded in."""
    made = Celery(lifecycle.NAME, set_as_current=False)
    made.config_from_object("celeryconfig")
    made.steps["worker"].add(lifecycle.EngineStep)
    made.steps["consumer"].update((Gatherings, lifecycle.Beat))
    return made


app = make_app()
lifecycle.connect()
