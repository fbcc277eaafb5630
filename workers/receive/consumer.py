"""Celery's consumer without the step that pipeline does not need."""

from __future__ import annotations

from celery.worker import consumer


class Consumer(consumer.Consumer):
    """Celery's own consumer, except that it declares no queues for delayed messages in RabbitMQ: there are none."""

    class Blueprint(consumer.Consumer.Blueprint):
        default_steps = [
            step for step in consumer.Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        ]
