"""Threads that a worker process runs alongside Celery: stages, dispatch, sweeps, retention, the sender."""
