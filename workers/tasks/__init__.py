"""Celery tasks: thin. Arguments are ids; the work is in `pipeline.execution` and `pipeline.delivery`."""
