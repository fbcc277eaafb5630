"""Celery's consumer without what pipeline has no use for."""

from __future__ import annotations

from celery.worker import consumer


class Consumer(consumer.Consumer):
    """Consumes as Celery's own, and sets up no delays in RabbitMQ: no message of ours waits for its time there."""

    class Blueprint(consumer.Consumer.Blueprint):
        default_steps = [
            step for step in consumer.Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        ]
