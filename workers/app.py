"""The Celery application: `celery -A workers.app worker`."""

from __future__ import annotations

from celery import Celery

from workers import lifecycle
from workers.receive.gather_messages import Gatherings

app = Celery("pipeline")
app.config_from_object("celeryconfig")
app.steps["worker"].add(lifecycle.EngineStep)
app.steps["consumer"].update((Gatherings, lifecycle.Beat))
lifecycle.connect()
