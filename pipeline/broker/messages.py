"""The one module of the library that sends Celery messages."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson
from celery import Celery
from celery.utils.nodenames import anon_nodename
from kombu.exceptions import KombuError
from kombu.pools import ProducerPool
from kombu.transport import virtual

from pipeline.broker.confirms import confirmed
from pipeline.domain.item import Stage
from pipeline.execution.dispatch import Message
from pipeline.settings import Settings, Transport

#: Names on the wire: stable, whatever files move.
ITEM_TASKS = {Stage.CLASSIFY: "items.classify", Stage.ENRICH: "items.enrich"}
DELIVER_TASK = "deliveries.send"
DISPATCH_TASK = "control.dispatch"
SWEEP_TASK = "control.sweep"
#: Where each waits: a queue per stage, so that started items finish first; a worker may serve any of them.
QUEUE_OF = {
    ITEM_TASKS[Stage.CLASSIFY]: "classify",
    ITEM_TASKS[Stage.ENRICH]: "enrich",
    DELIVER_TASK: "deliver",
    DISPATCH_TASK: "control",
    SWEEP_TASK: "control",
}
#: Seconds that RabbitMQ has to store a group of messages.
CONFIRM_SECONDS = 15.0
#: Seconds until a program that sends gives up a broker that does not answer.
SEND_TIMEOUT_SECONDS = 4.0

#: Messages published in one round trip, on transports that can.
PIPELINED = 500
#: Nudges in one queue beyond which no other is added: where nobody takes them, they would pile up.
NUDGES_WAITING = 10


#: Values of headers that mean the same as none; RabbitMQ's client reads and writes each header on its own.
_SAYS_NOTHING: Sequence[object] = (None, [None, None], {})


@dataclass(frozen=True, slots=True)
class Task:
    """A Celery message to be: `chain` holds the signatures that follow, the next one last."""

    name: str
    id: str
    args: tuple[int, ...] = ()
    root_id: str | None = None
    parent_id: str | None = None
    chain: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class _Form:
    """What the messages of a task have in common: headers, and what is embedded beside the arguments."""

    headers: dict[str, Any]
    embedded: dict[str, Any]


class Broker:
    """Publishes in Celery's message format, over connections of its own.

    `apply_async` would resolve routes and build a result for each message; this costs a tenth. The application's pool
    of connections also carries answers to whoever inspects workers: on a channel whose confirms are counted, each of
    them would shift the count.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._origin = anon_nodename()
        self._forms: dict[str, _Form] = {}
        self._connections: Any = app.connection_for_write().Pool(limit=app.conf.broker_pool_limit)
        self._producers: Any = ProducerPool(self._connections, app.conf.broker_pool_limit)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close its connections, for a program that goes on without it."""
        self._producers.force_close_all()
        self._connections.force_close_all()

    def publish_items(self, messages: Sequence[Message]) -> None:
        """Publish released items: one message per item, the next stage chained to it."""
        self.publish([_task(message) for message in messages])

    def publish(self, tasks: Sequence[Task]) -> None:
        """Publish tasks, in order; nothing is published twice, and a failure may leave any part unpublished."""
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
        """Publish a task without arguments: there may be something to do. Enough of them waiting say it already."""
        if not self._has_enough(QUEUE_OF[name]):
            self.publish([Task(name, id=str(uuid.uuid4()))])

    def _has_enough(self, queue: str) -> bool:
        with self._producers.acquire(block=True) as producer:
            channel = producer.channel
            # RabbitMQ bounds the queue itself, see celeryconfig.py.
            is_unbounded = isinstance(channel, virtual.Channel)
            return is_unbounded and channel.queue_declare(queue).message_count >= NUDGES_WAITING

    def _publish(self, producer: Any, task: Task) -> None:
        form = self._form(task.name)
        parent = {} if task.parent_id is None else {"parent_id": task.parent_id}
        producer.publish(
            # The same JSON as Celery's own serializer gives for ids, which need none of its type tags.
            orjson.dumps((task.args, {}, form.embedded | {"chain": task.chain})),
            # Straight to the queue. It is not declared: workers do that, and what nobody listens to need not be sent.
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
            headers = {key: value for key, value in message.headers.items() if value not in _SAYS_NOTHING}
            form = self._forms[name] = _Form(headers, message.body[2])
        return form


def follow(signature: dict[str, Any], rest: list[dict[str, Any]], *, root_id: str | None, parent_id: str) -> Task:
    """Return the task that a chained signature asks for."""
    return Task(
        name=signature["task"],
        id=signature["options"]["task_id"],
        args=tuple(signature["args"]),
        root_id=root_id,
        parent_id=parent_id,
        chain=rest or None,
    )


def _task(message: Message) -> Task:
    args = (message.id, message.epoch)
    chain = None
    if message.then is not None:
        chain = [
            {
                "task": ITEM_TASKS[message.then],
                "args": list(args),
                "kwargs": {},
                "options": {"task_id": message.next_task_id},
                "subtask_type": None,
                "immutable": True,
            }
        ]
    return Task(name=ITEM_TASKS[message.stage], id=message.task_id, args=args, chain=chain)


def wake_dispatcher(settings: Settings) -> bool:
    """Tell the workers elsewhere that there may be something to release. False: the broker does not answer.

    What is stored does not depend on it: work begins when the broker is back and the dispatcher's timer comes round.
    """
    try:
        with closing(Broker(_sending_app(settings))) as broker:
            broker.nudge(DISPATCH_TASK)
    except (OSError, KombuError):
        return False
    return True


def _sending_app(settings: Settings) -> Celery:
    """Return a Celery application that only sends, for a program that is no worker."""
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
