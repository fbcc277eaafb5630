"""A second implementation of the publisher, on Celery's own `send_task`: what a replacement of ours would look like."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.pools import ProducerPool
from kombu.transport import virtual

from pipeline.broker.bulk_publisher import NUDGES_WAITING
from pipeline.broker.messages import QUEUE_OF, Task, item_task
from pipeline.execution.dispatch import TaskMessage


class SendTaskPublisher:
    """`TaskPublisher` that sends and confirms one message after the other."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        # Of brokers, only RabbitMQ confirms.
        options = {**app.conf.broker_transport_options, "confirm_publish": True}
        self._connections: Any = app.connection_for_write(transport_options=options).Pool(limit=4)
        self._producers: Any = ProducerPool(self._connections, 4)

    def publish(self, tasks: Sequence[Task]) -> None:
        with self._producers.acquire(block=True) as producer:
            for task in tasks:
                self._app.send_task(
                    task.name,
                    task.args,
                    task_id=task.id,
                    root_id=task.root_id,
                    parent_id=task.parent_id,
                    chain=task.chain,
                    queue=QUEUE_OF[task.name],
                    producer=producer,
                    ignore_result=True,
                    retry=False,
                )

    def publish_items(self, messages: Sequence[TaskMessage]) -> None:
        self.publish([item_task(message) for message in messages])

    def nudge(self, name: str) -> None:
        if not self._has_enough(QUEUE_OF[name]):
            self.publish([Task(name, id=str(uuid.uuid4()))])

    def _has_enough(self, queue: str) -> bool:
        with self._producers.acquire(block=True) as producer:
            is_unlimited = isinstance(producer.channel, virtual.Channel)
            return is_unlimited and producer.channel.queue_declare(queue).message_count >= NUDGES_WAITING

    def close(self) -> None:
        self._producers.force_close_all()
        self._connections.force_close_all()
