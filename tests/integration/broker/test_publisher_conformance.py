"""What the pipeline needs a publisher to do. Ours passes, and so does one on Celery's `send_task`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import orjson
import pytest
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.transport.memory import Channel as MemoryChannel

from pipeline.broker.bulk_publisher import NUDGES_WAITING
from pipeline.broker.confirms import NotConfirmed
from pipeline.broker.messages import DELIVER_TASK, DISPATCH_TASK, ITEM_TASKS, QUEUE_OF, SWEEP_TASK, Task
from pipeline.broker.publisher import TaskPublisher, open_publisher
from pipeline.domain.item import Stage
from pipeline.execution.dispatch import TaskMessage
from pipeline.settings import Transport
from tests.support.send_task import SendTaskPublisher
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.worker import wait_for
from tests.support.transports import (
    OPTIONS,
    Bench,
    BrokerServer,
    Candidate,
    Taker,
    cut_connections,
    make_queue,
    on,
    url_of,
)
from workers.receive.message_schema import check_item, check_nudge

CLASSIFY, ENRICH = ITEM_TASKS[Stage.CLASSIFY], ITEM_TASKS[Stage.ENRICH]
QUEUES = [make_queue(name) for name in sorted(set(QUEUE_OF.values()))]
CHAINED = {
    "task": ENRICH,
    "args": [7, 1],
    "kwargs": {},
    "options": {"task_id": "next"},
    "subtask_type": None,
    "immutable": True,
}
#: Headers that say nothing in Celery's messages may be left out.
MEANINGLESS: tuple[object, ...] = (None, [None, None], {})
#: What differs between any two messages or between ways to the same queue, and headers, which are looked at themselves.
INCIDENTAL = frozenset({"delivery_tag", "delivery_info", "reply_to", "body_encoding", "application_headers"})


@pytest.fixture
def app(candidate: Candidate, broker_server: BrokerServer) -> Iterator[Celery]:
    """An application that sends over one transport, to a broker without these queues."""
    MemoryChannel.queues.clear()
    if isinstance(broker_server, Redis):
        broker_server.clear()
    elif broker_server is not None:
        with Connection(broker_server.url) as connection:
            for queue in QUEUES:
                queue(connection.default_channel).delete()
    with Celery("probe", broker=url_of(broker_server), set_as_current=False) as made:
        made.conf.update(broker_transport=candidate.name, broker_transport_options=OPTIONS[candidate.kind])
        yield made


@pytest.fixture
def taker(app: Celery, broker_kind: Transport, broker_server: BrokerServer) -> Iterator[Taker]:
    """A consumer of all queues, which it has declared."""
    with Bench(Candidate(broker_kind, is_fast=False), broker_server) as bench:
        yield bench.taker(*QUEUES)


@pytest.fixture(params=["ours", "send_task"])
def publisher(request: pytest.FixtureRequest, app: Celery) -> Iterator[TaskPublisher]:
    make: Callable[[Celery], TaskPublisher] = open_publisher if request.param == "ours" else SendTaskPublisher
    with closing(make(app)) as made:
        yield made


def numbered(first: int, end: int) -> list[Task]:
    return [Task(CLASSIFY, f"id-{number}", (number, 1)) for number in range(first, end)]


def numbers(taker: Taker) -> list[int]:
    """Return the first argument of each message, in the order in which they came."""
    return [args[0] for args, _, _ in taker.got]


def facts(message: Any) -> dict[str, Any]:
    """Return what a message says, without what may differ."""
    headers = {name: value for name, value in message.headers.items() if value not in MEANINGLESS}
    properties = {name: value for name, value in message.properties.items() if name not in INCIDENTAL}
    queue = message.delivery_info["routing_key"]
    return {"queue": queue, "body": orjson.loads(message.body), "headers": headers, "properties": properties}


@pytest.mark.parametrize(
    ("root_id", "parent_id", "chain"), [(None, None, [CHAINED]), ("first", "before", None), (None, None, None)]
)
def test_a_task_is_a_message_that_workers_accept(
    publisher: TaskPublisher, taker: Taker, root_id: str | None, parent_id: str | None, chain: Any
) -> None:
    publisher.publish([Task(CLASSIFY, "an-id", (7, 1), root_id=root_id, parent_id=parent_id, chain=chain)])
    taker.read(1)
    (message,) = taker.messages
    args, kwargs, embedded = taker.got[0]
    check_item(message.headers, taker.got[0])
    assert (args, kwargs, embedded["chain"]) == ([7, 1], {}, chain)
    found = {name: message.headers.get(name) for name in ("task", "id", "root_id", "parent_id")}
    assert found == {"task": CLASSIFY, "id": "an-id", "root_id": root_id or "an-id", "parent_id": parent_id}
    assert message.properties["correlation_id"] == "an-id"
    assert message.delivery_info["routing_key"] == "classify"


def test_a_released_item_has_its_next_stage_chained(publisher: TaskPublisher, taker: Taker) -> None:
    messages = [
        TaskMessage(7, 3, "item-7", Stage.CLASSIFY, Stage.ENRICH),
        TaskMessage(8, 1, "item-8", Stage.CLASSIFY, None),
    ]
    publisher.publish_items(messages)
    taker.read(2)
    assert numbers(taker) == [7, 8]
    assert [message.headers["id"] for message in taker.messages] == [message.task_id for message in messages]
    (next_one,), nothing = (embedded["chain"] for _, _, embedded in taker.got)
    assert (next_one["task"], next_one["args"], next_one["options"]) == (
        ENRICH,
        [7, 3],
        {"task_id": messages[0].next_task_id},
    )
    assert nothing is None


@pytest.mark.parametrize("name", [DELIVER_TASK, DISPATCH_TASK, SWEEP_TASK])
def test_a_nudge_is_a_message_that_workers_accept(publisher: TaskPublisher, taker: Taker, name: str) -> None:
    publisher.nudge(name)
    publisher.nudge(name)
    taker.read(2)
    for message, body in zip(taker.messages, taker.got, strict=True):
        check_nudge(message.headers, body)
        assert message.headers["task"] == name
        assert message.delivery_info["routing_key"] == QUEUE_OF[name]
    assert len({message.headers["id"] for message in taker.messages}) == 2


def test_tasks_arrive_once_and_in_order(publisher: TaskPublisher, taker: Taker) -> None:
    publisher.publish([])
    publisher.publish(numbered(0, 40))
    publisher.publish(numbered(40, 60))
    taker.read(60)
    taker.look()
    taker.acknowledge()
    assert numbers(taker) == list(range(60))


def test_threads_share_a_publisher(publisher: TaskPublisher, taker: Taker) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda start: publisher.publish(numbered(start, start + 10)), range(0, 40, 10)))
    taker.read(40)
    taker.acknowledge()
    assert sorted(numbers(taker)) == list(range(40))
    for start in range(0, 40, 10):
        of_one = [number for number in numbers(taker) if start <= number < start + 10]
        assert of_one == list(range(start, start + 10))


@on(Transport.MEMORY, Transport.REDIS)
def test_nudges_that_nobody_takes_do_not_pile_up(publisher: TaskPublisher, taker: Taker) -> None:
    for _ in range(NUDGES_WAITING + 5):
        publisher.nudge(DELIVER_TASK)
    taker.read(NUDGES_WAITING)
    taker.look()
    assert len(taker.got) == NUDGES_WAITING


@on(Transport.REDIS)
def test_a_closed_publisher_keeps_no_connection(app: Celery, broker_server: Redis) -> None:
    before = broker_server.connections()
    for make in (open_publisher, SendTaskPublisher):
        publisher = make(app)
        publisher.nudge(DELIVER_TASK)
        assert broker_server.connections() - before
        publisher.close()
        app.pool.force_close_all()
        # Redis hears of the end of a connection a moment later.
        wait_for(lambda: not broker_server.connections() - before)


@on(Transport.REDIS, Transport.RABBITMQ)
def test_after_a_lost_connection_it_publishes_again(
    publisher: TaskPublisher, taker: Taker, broker_kind: Transport, broker_server: BrokerServer
) -> None:
    publisher.publish(numbered(0, 1))
    taker.read(1)
    taker.acknowledge()
    taker.close()
    cut_connections(broker_server)
    for _ in range(5):
        with suppress(Exception):
            publisher.publish(numbered(1, 2))
            break
    else:
        raise AssertionError("it never published again")
    with Bench(Candidate(broker_kind, is_fast=False), broker_server) as bench:
        again = bench.taker(*QUEUES)
        again.read(1)
        again.look()
        assert set(numbers(again)) == {1}


@on(Transport.RABBITMQ)
def test_what_rabbitmq_refuses_is_an_error(app: Celery, publisher: TaskPublisher, broker_server: RabbitMQ) -> None:
    queue = make_queue("classify")
    queue.queue_arguments = {"x-max-length": 5, "x-overflow": "reject-publish"}
    # `send_task` declares it once more.
    app.conf.task_queues = [queue]
    with Connection(broker_server.url) as connection:
        queue(connection.default_channel).declare()
    with pytest.raises((NotConfirmed, OperationalError)):
        publisher.publish(numbered(0, 20))


@pytest.mark.parametrize(
    "task",
    [
        Task(CLASSIFY, "an-id", (7, 1)),
        Task(CLASSIFY, "an-id", (2**62, 1), root_id="first", parent_id="before", chain=[CHAINED]),
        Task(ENRICH, "an-id", (7, 1), parent_id="before"),
        Task(SWEEP_TASK, "an-id"),
    ],
)
def test_ours_and_celerys_publish_the_same_message(app: Celery, taker: Taker, task: Task) -> None:
    with closing(open_publisher(app)) as ours, closing(SendTaskPublisher(app)) as celerys:
        ours.publish([task])
        celerys.publish([task])
    taker.read(2)
    mine, theirs = map(facts, taker.messages)
    assert mine == theirs
