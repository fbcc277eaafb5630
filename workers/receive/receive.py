"""The reception of messages: each becomes a request, with all that Celery's own strategy does, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from celery import Task, signals
from celery.utils.log import get_logger as get_celery_logger
from celery.worker.request import Request
from celery.worker.state import requests as known_requests
from celery.worker.state import revoked as revoked_ids
from celery.worker.state import task_ready, task_reserved

from pipeline.log import get_logger
from workers.receive.message_schema import Malformed

log = get_logger(__name__)

#: Where kombu reports that it could not refuse a message.
_celery_log = get_celery_logger(__name__)


class Receiver:
    """Receives the messages of one task."""

    def __init__(
        self, task: Task, consumer: Any, check: Callable[[Any, Any], None], *, sends_events: bool = True
    ) -> None:
        """Args:
        check: takes headers and body, and raises for those that are not of this task.
        sends_events: whether what happens to these messages is told to whoever listens, such as Flower.
        """
        self._task = task
        self._consumer = consumer
        self._check = check
        self._eventer = consumer.event_dispatcher if sends_events else None

    def receive(self, message: Any, callbacks: Any) -> Request | None:
        """Return the request of a message; None where it is revoked, or refused."""
        try:
            request = self._request(message)
        except Exception as error:
            # Of whatever kind: the consumer would end with it, and each worker after it that gets the message.
            self._refuse(message, error)
            return None
        if (request.expires or request.id in revoked_ids) and request.revoked():
            return None
        signals.task_received.send(sender=self._consumer, request=request)
        self._announce(request)
        task_reserved(request)
        for callback in callbacks or ():
            callback(request)
        return request

    def _request(self, message: Any) -> Request:
        body = _body(message)
        self._check(message.headers, body)
        return Request(
            message,
            # Whoever ends it does so where it may write: what Celery gives for it would wait for the loop's next round.
            on_ack=message.ack_log_error,
            on_reject=message.reject_log_error,
            app=self._consumer.app,
            hostname=self._consumer.hostname,
            eventer=self._eventer,
            task=self._task,
            connection_errors=self._consumer.connection_errors,
            body=body,
            headers=message.headers,
            decoded=True,
        )

    def _refuse(self, message: Any, error: Exception) -> None:
        # Celery's own report would quote the message.
        reason = str(error) if isinstance(error, Malformed) else type(error).__name__
        log.error("message_refused", task=self._task.name, reason=reason)
        message.reject_log_error(_celery_log, self._consumer.connection_errors)
        signals.task_rejected.send(sender=self._consumer, message=message, exc=error)

    def _announce(self, request: Request) -> None:
        if not (self._eventer and self._eventer.enabled and self._task.send_events):
            return
        request.send_event(
            "task-received",
            name=request.name,
            args=request.argsrepr,
            kwargs=request.kwargsrepr,
            root_id=request.root_id,
            parent_id=request.parent_id,
            retries=0,
            eta=None,
            expires=request.expires and request.expires.isoformat(),
        )


def finish(request: Request, event: str, *, is_connected: bool = True, **fields: Any) -> None:
    """End a request: out of the books, acknowledged if its connection is still there, and told.

    Args:
        event: `task-succeeded`, `task-retried` or `task-failed`, with its fields.
    """
    # Not `successful`, which has Celery remember it: a message that comes again is stale.
    task_ready(request)
    known_requests.pop(request.id, None)
    if is_connected:
        request.acknowledge()
    request.send_event(event, **fields)


def _body(message: Any) -> Any:
    """Return a message's body. Celery's own decoder looks for tagged types, which ids do not have, and is slow."""
    is_plain = message.content_type == "application/json" and not message.headers.get("compression")
    return orjson.loads(message.body) if is_plain else message.payload
