"""The publisher: what it must do, which one is used, and the nudge that a program sends after it has submitted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Protocol

from celery import Celery
from kombu.exceptions import KombuError

from pipeline.broker.bulk_publisher import BulkPublisher
from pipeline.broker.messages import DISPATCH_TASK, Task
from pipeline.execution.dispatch import TaskMessage
from pipeline.settings import Settings, Transport

#: Seconds after which a program that sends gives up on a broker that does not respond.
SEND_TIMEOUT_SECONDS = 4.0


class TaskPublisher(Protocol):
    """Sends tasks to workers. Threads may share it.

    Every implementation must pass `tests/integration/broker/test_publisher_conformance.py`.
    """

    def publish(self, tasks: Sequence[Task]) -> None:
        """Publish tasks, in order, in the messages that `Celery.send_task` writes for them.

        Nothing is published twice. On RabbitMQ, return once the broker has stored all of them.

        Raises:
            Exception: any part of the tasks may be unpublished.
        """

    def publish_items(self, messages: Sequence[TaskMessage]) -> None:
        """Publish the tasks of released items, as `publish` does."""

    def nudge(self, name: str) -> None:
        """Publish a task without arguments, which says that there may be work.

        If enough of them are waiting already, do nothing: with nobody to take them, they would pile up.
        """

    def close(self) -> None:
        """Close its connections."""


def open_publisher(app: Celery) -> TaskPublisher:
    """Return the publisher for an application's broker. To use another one, change this function."""
    return BulkPublisher(app)


def wake_dispatcher(settings: Settings) -> bool:
    """Tell workers elsewhere that there may be something to release. Return False if the broker does not respond.

    Nothing depends on it: without it, work starts at the dispatcher's next poll.
    """
    try:
        with closing(open_publisher(_sending_app(settings))) as publisher:
            publisher.nudge(DISPATCH_TASK)
    except (OSError, KombuError):
        return False
    return True


def _sending_app(settings: Settings) -> Celery:
    """Return a Celery application for a program that only sends."""
    app = Celery("pipeline-client", set_as_current=False)
    app.conf.broker_url = settings.broker_url.get_secret_value() if settings.broker_url else None
    app.conf.broker_connection_timeout = SEND_TIMEOUT_SECONDS
    app.conf.broker_transport_options = _SENDING[settings.transport]
    return app


_SENDING = {
    Transport.MEMORY: {},
    Transport.REDIS: {"socket_timeout": SEND_TIMEOUT_SECONDS, "socket_connect_timeout": SEND_TIMEOUT_SECONDS},
    Transport.RABBITMQ: {"read_timeout": SEND_TIMEOUT_SECONDS, "write_timeout": SEND_TIMEOUT_SECONDS},
}
