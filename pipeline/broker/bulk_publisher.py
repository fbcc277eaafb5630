"""Publishes many tasks at a time, in the message format of Celery."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from celery import Celery
from celery.utils.nodenames import anon_nodename
from kombu.pools import ProducerPool
from kombu.transport import virtual

from pipeline.broker.confirms import confirmed
from pipeline.broker.messages import QUEUE_OF, Task, item_task
from pipeline.execution.dispatch import TaskMessage

#: Seconds that RabbitMQ has to store a group of messages.
CONFIRM_SECONDS = 15.0
#: Messages published in one round trip, on transports that can.
PIPELINED = 500
#: How many nudges may wait in one queue.
NUDGES_WAITING = 10

#: Values of headers that mean the same as no header. RabbitMQ's client reads and writes each header separately.
_MEANINGLESS: Sequence[object] = (None, [None, None], {})


@dataclass(frozen=True, slots=True)
class _Form:
    """What all messages of a task have in common: headers, and what is embedded next to the arguments."""

    headers: dict[str, Any]
    embedded: dict[str, Any]


class BulkPublisher:
    """Implements `TaskPublisher` at a tenth of the cost of `apply_async`, which resolves routes for each message.

    It has its own connections. The application's pool also carries replies to remote control commands, and on a channel
    whose confirms are counted, each reply would shift the count.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._origin = anon_nodename()
        self._forms: dict[str, _Form] = {}
        self._connections: Any = app.connection_for_write().Pool(limit=app.conf.broker_pool_limit)
        self._producers: Any = ProducerPool(self._connections, app.conf.broker_pool_limit)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close its connections."""
        self._producers.force_close_all()
        self._connections.force_close_all()

    def publish_items(self, messages: Sequence[TaskMessage]) -> None:
        """Publish the tasks of released items: one message per item, with the next stage chained to it."""
        self.publish([item_task(message) for message in messages])

    def publish(self, tasks: Sequence[Task]) -> None:
        """Publish tasks, in order. Nothing is published twice.

        Raises:
            Exception: any part of the tasks may be unpublished.
        """
        if not tasks:
            return
        with (
            self._producers.acquire(block=True) as producer,
            confirmed(producer, len(tasks), CONFIRM_SECONDS),
            producer.batch(max_size=PIPELINED),
        ):
            for task in tasks:
                self._publish(producer, task)

    def nudge(self, name: str) -> None:
        """Publish a task without arguments, unless enough of them wait already."""
        if not self._has_enough(QUEUE_OF[name]):
            self.publish([Task(name, id=str(uuid.uuid4()))])

    def _has_enough(self, queue: str) -> bool:
        with self._producers.acquire(block=True) as producer:
            channel = producer.channel
            # RabbitMQ limits the queue itself, see celeryconfig.py.
            is_unlimited = isinstance(channel, virtual.Channel)
            return is_unlimited and channel.queue_declare(queue).message_count >= NUDGES_WAITING

    def _publish(self, producer: Any, task: Task) -> None:
        form = self._form(task.name)
        parent = {} if task.parent_id is None else {"parent_id": task.parent_id}
        producer.publish(
            # The same JSON that Celery's serializer writes for ids, which need none of its type tags.
            orjson.dumps((task.args, {}, form.embedded | {"chain": task.chain})),
            # Directly to the queue, without declaring it: workers do that, and without workers it need not exist.
            exchange="",
            routing_key=QUEUE_OF[task.name],
            content_type="application/json",
            content_encoding="utf-8",
            headers=form.headers
            | {"id": task.id, "root_id": task.root_id or task.id, "argsrepr": repr(task.args)}
            | parent,
            delivery_mode=2,
            correlation_id=task.id,
            reply_to="",
        )

    def _form(self, name: str) -> _Form:
        """Return what all messages of a task have in common, as Celery writes it."""
        form = self._forms.get(name)
        if form is None:
            message = self._app.amqp.as_task_v2(
                "", name, argsrepr="", kwargsrepr="{}", ignore_result=True, origin=self._origin
            )
            headers = {key: value for key, value in message.headers.items() if value not in _MEANINGLESS}
            form = self._forms[name] = _Form(headers, message.body[2])
        return form
