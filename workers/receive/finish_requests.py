"""Finish requests: what Celery and its monitors are told at the end of a task."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request
from celery.worker.state import requests as known_requests
from celery.worker.state import task_ready

from pipeline.execution.disposition import Disposition, DispositionKind

_FAILED = (DispositionKind.DEAD, DispositionKind.LOST)
_RETRIED = (DispositionKind.PUT_OFF, DispositionKind.HANDED_BACK)


def finish_as(request: Request, disposition: Disposition, now: float, *, is_connected: bool = True) -> None:
    """Finish the request of an item as what became of the item, at `now` (seconds since the epoch)."""
    kind = disposition.kind
    reason = disposition.error or kind.value
    # The task id leads to everything else that is known; messages of exceptions may quote payloads.
    hint = f"pipeline show {request.id}"
    if kind in _RETRIED:
        finish_request(request, "task-retried", is_connected=is_connected, exception=reason, traceback=hint)
    elif kind in _FAILED:
        finish_request(request, "task-failed", is_connected=is_connected, exception=reason, traceback=hint)
    else:
        runtime = now - (request.time_start or now)
        finish_request(request, "task-succeeded", is_connected=is_connected, result=repr(kind.value), runtime=runtime)


def finish_request(request: Request, event: str, *, is_connected: bool = True, **fields: Any) -> None:
    """Remove a request from the worker's books, acknowledge its message if still connected, and send its event.

    Args:
        event: `task-succeeded`, `task-retried` or `task-failed`, with its fields.
    """
    # Not `successful=True`, which makes Celery remember the id: a message that comes again is stale anyway.
    task_ready(request)
    known_requests.pop(request.id, None)
    if is_connected:
        request.acknowledge()
    request.send_event(event, **fields)
