"""Threads that a worker process runs beside Celery: stages, dispatch, sweeps, retention, the sender."""
