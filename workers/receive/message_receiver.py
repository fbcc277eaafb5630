"""Receive messages: each becomes a request, with everything that Celery's own strategy does, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from celery import Task as CeleryTask
from celery import signals
from celery.utils.log import get_logger as get_celery_logger
from celery.worker.request import Request
from celery.worker.state import revoked as revoked_ids
from celery.worker.state import task_reserved

from pipeline.broker.messages import QUEUE_OF, Task
from pipeline.log import get_logger
from workers.receive.message_schema import Malformed

log = get_logger(__name__)

#: Where kombu reports that it could not refuse a message.
_celery_log = get_celery_logger(__name__)


class _NoMessage(NamedTuple):
    """What Celery reads of the message of a task that has none."""

    headers: dict[str, Any]
    properties: dict[str, Any]
    delivery_info: dict[str, Any]


class MessageReceiver:
    """Receives the messages of one task."""

    def __init__(
        self, task: CeleryTask, consumer: Any, check: Callable[[Any, Any], None], *, sends_events: bool = True
    ) -> None:
        """Receive messages of `task` from `consumer`.

        Args:
            check: takes headers and body, and raises if they do not belong to this task.
            sends_events: whether monitors such as Flower are sent an event for each step of these messages.
        """
        self._task = task
        self._consumer = consumer
        self._check = check
        self._eventer = consumer.event_dispatcher if sends_events else None

    @property
    def task_name(self) -> str:
        """The name of the task."""
        return str(self._task.name)

    @property
    def is_observed(self) -> bool:
        """Whether anybody observes requests: a monitor by events, or a receiver of Celery's signal."""
        return self._is_monitored or bool(signals.task_received.receivers)

    @property
    def _is_monitored(self) -> bool:
        return bool(self._eventer and self._eventer.enabled and self._task.send_events)

    def receive(self, message: Any, callbacks: Any) -> Request | None:
        """Return the request of a message; None if the message is revoked or refused."""
        try:
            request = self._request(message)
        except Exception as error:
            # Any error: it would end the consumer, and each next worker that is given the message.
            self._refuse(message, error)
            return None
        if (request.expires or request.id in revoked_ids) and request.revoked():
            return None
        self.announce(request)
        for callback in callbacks or ():
            callback(request)
        return request

    def request_of(self, task: Task) -> Request:
        """Return the request of a task that this process runs without a message. Announce it when it begins."""
        headers = {
            "task": task.name,
            "id": task.id,
            "root_id": task.root_id,
            "parent_id": task.parent_id,
            "argsrepr": repr(task.args),
            "kwargsrepr": "{}",
        }
        body: tuple[Any, ...] = (task.args, {}, {"chain": task.chain})
        message = _NoMessage(headers, {"correlation_id": task.id}, {"exchange": "", "routing_key": QUEUE_OF[task.name]})
        return self._make(message, headers, body)

    def announce(self, request: Request) -> None:
        """Enter a request in the worker's books, and send the event that it was received."""
        signals.task_received.send(sender=self._consumer, request=request)
        self._send_received(request)
        task_reserved(request)

    def _request(self, message: Any) -> Request:
        body = _body(message)
        self._check(message.headers, body)
        # Called from the connection's thread, so it may write at once: Celery's own would wait for the next round.
        return self._make(
            message, message.headers, body, on_ack=message.ack_log_error, on_reject=message.reject_log_error
        )

    def _make(self, message: Any, headers: Any, body: Any, **options: Any) -> Request:
        return Request(
            message,
            **options,
            app=self._consumer.app,
            hostname=self._consumer.hostname,
            eventer=self._eventer,
            task=self._task,
            connection_errors=self._consumer.connection_errors,
            body=body,
            headers=headers,
            decoded=True,
        )

    def _refuse(self, message: Any, error: Exception) -> None:
        # Celery's own report would quote the message.
        reason = str(error) if isinstance(error, Malformed) else type(error).__name__
        log.error("message_refused", task=self._task.name, reason=reason)
        message.reject_log_error(_celery_log, self._consumer.connection_errors)
        signals.task_rejected.send(sender=self._consumer, message=message, exc=error)

    def _send_received(self, request: Request) -> None:
        if not self._is_monitored:
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


def _body(message: Any) -> Any:
    """Return a message's body. Celery's own decoder is slow: it looks for tagged types, which ids do not have."""
    is_plain = message.content_type == "application/json" and not message.headers.get("compression")
    return orjson.loads(message.body) if is_plain else message.payload
