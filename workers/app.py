"""The Celery application: `celery -A workers.app worker`."""

from __future__ import annotations

from celery import Celery

app = Celery("pipeline")
app.config_from_object("celeryconfig")
