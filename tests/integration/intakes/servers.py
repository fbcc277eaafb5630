"""The sources that intakes are tested on: each has one place that messages are added to."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol

import aiormq
import nats
import psycopg
from aiobotocore.session import get_session
from nats.js.api import StreamConfig

from pipeline.intakes.sources import kafka, nats_jetstream
from tests.support.servers.kafka_cluster import KafkaCluster
from tests.support.servers.moto import Moto
from tests.support.servers.nats import Nats
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis


class SourceServer(Protocol):
    """A server that one kind of source is tested on.

    Args:
        name: of the stream, queue, topic or table; new for each test, if the server is slow to forget one.
        connection: the lines of the table in `connections.toml`; the source is `conn://bus/REST`.
        has: which of the cases it can be brought into.
        module: of the source, whose class is patched to be killed.
        source: that class.
    """

    name: str
    connection: str
    rest: str
    has: frozenset[str]
    module: str
    source: str

    def prepare(self) -> None:
        """Make the place, empty."""

    def add(self, *bodies: bytes) -> None:
        """Append messages."""

    def left(self) -> int | None:
        """Return the messages that would be delivered to somebody; None: they stay, whoever reads them."""

    def interrupt(self) -> None:
        """Cut the connections of all clients."""

    def delete(self) -> None:
        """Delete the place."""


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


class KafkaSource:
    """A topic of two partitions in a mock cluster."""

    has = frozenset({"end", "offsets", "trim", "interrupt", "restarts"})
    module, source = "kafka", "KafkaTopic"

    def __init__(self, server: KafkaCluster) -> None:
        self.server = server
        self.name = f"tickets-{secrets.token_hex(4)}"
        self.connection, self.rest = f'url = "kafka://{server.url}"', self.name

    def prepare(self) -> None:
        self.server.create(self.name)

    def add(self, *bodies: bytes) -> None:
        self.server.add(self.name, bodies)

    def left(self) -> int | None:
        return None

    def trim(self) -> None:
        """Delete messages that were not read; return nothing of those that were."""
        self.server.trim(self.name, 0, 3)

    def interrupt(self) -> None:
        self.server.take_down()
        self.server.bring_up()

    def delete(self) -> None:
        self.server.delete(self.name)


class RedisSource:
    """A stream."""

    has = frozenset({"end", "offsets", "interrupt", "restarts"})
    module, source = "redis_stream", "RedisStream"

    def __init__(self, server: Redis) -> None:
        self.server, self.name = server, "tickets"
        self.connection, self.rest = f'url = "redis://127.0.0.1:{server.port}/0"', "tickets"

    def prepare(self) -> None:
        self.server.clear()

    def add(self, *bodies: bytes) -> None:
        with self.server.client() as client:
            for each in bodies:
                client.xadd(self.name, {"body": each})

    def left(self) -> int | None:
        return None

    def interrupt(self) -> None:
        with self.server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)

    def delete(self) -> None:
        with self.server.client() as client:
            client.delete(self.name)


class NatsSource:
    """A stream that takes `tickets.>`."""

    has = frozenset({"end", "interrupt", "deletion", "missing"})
    module, source = "nats_jetstream", "NatsStream"

    def __init__(self, server: Nats) -> None:
        self.server, self.name = server, f"tickets-{secrets.token_hex(4)}"
        self.connection = f'url = "nats://127.0.0.1:{server.port}"\nusername = "tests"\npassword = "right"'
        self.rest = self.name

    def prepare(self) -> None:
        run(self._do(lambda stream: stream.add_stream(StreamConfig(name=self.name, subjects=[f"{self.name}.>"]))))

    def add(self, *bodies: bytes) -> None:
        async def publish(stream: Any) -> None:
            for each in bodies:
                await stream.publish(f"{self.name}.new", each)

        run(self._do(publish))

    def left(self) -> int | None:
        async def count(stream: Any) -> int:
            info = await stream.consumer_info(self.name, self.name)
            return int(info.num_pending) + int(info.num_ack_pending)

        return int(run(self._do(count)))

    def interrupt(self) -> None:
        self.server.restart()

    def delete(self) -> None:
        run(self._do(lambda stream: stream.delete_stream(self.name)))

    async def _do(self, work: Any) -> Any:
        client = await nats.connect(self.server.url)
        try:
            return await work(client.jetstream())
        finally:
            await client.close()


class RabbitSource:
    """A queue."""

    has = frozenset({"interrupt", "deletion", "missing"})
    module, source = "rabbitmq", "RabbitQueue"

    def __init__(self, server: RabbitMQ) -> None:
        self.server, self.name = server, f"tickets-{secrets.token_hex(4)}"
        self.connection, self.rest = f'url = "amqp://127.0.0.1:{server.port}/%2F"', self.name

    def prepare(self) -> None:
        run(self._do(lambda channel: channel.queue_declare(self.name, durable=True)))

    def add(self, *bodies: bytes) -> None:
        async def publish(channel: Any) -> None:
            for each in bodies:
                properties = aiormq.spec.Basic.Properties(message_id=secrets.token_hex(8), delivery_mode=2)
                await channel.basic_publish(each, routing_key=self.name, properties=properties)

        run(self._do(publish))

    def left(self) -> int | None:
        declared = run(self._do(lambda channel: channel.queue_declare(self.name, passive=True)))
        return int(declared.message_count)

    def interrupt(self) -> None:
        self.server.close_connections()

    def delete(self) -> None:
        run(self._do(lambda channel: channel.queue_delete(self.name)))

    async def _do(self, work: Any) -> Any:
        connection = await aiormq.connect(self.server.url)
        try:
            return await work(await connection.channel())
        finally:
            await connection.close()


class SqsSource:
    """A queue."""

    has = frozenset({"deletion", "missing"})
    module, source = "sqs", "SqsQueue"

    def __init__(self, server: Moto, suffix: str = "") -> None:
        self.server, self.name = server, f"tickets-{secrets.token_hex(4)}{suffix}"
        self.connection = (
            'url = "sqs://eu-central-1/123456789012"\naccess_key_id = "tests"\nsecret_access_key = "right"\n'
            f'endpoint = "{server.url}"'
        )
        self.rest = self.name
        self._url = f"{server.url}/123456789012/{self.name}"

    def prepare(self) -> None:
        fifo = {"FifoQueue": "true"} if self.name.endswith(".fifo") else {}
        run(self._do(lambda client: client.create_queue(QueueName=self.name, Attributes=fifo)))

    def add(self, *bodies: bytes) -> None:
        async def send(client: Any) -> None:
            for start in range(0, len(bodies), 10):
                group = [
                    {"Id": str(number), "MessageBody": each.decode(), **self._group(each)}
                    for number, each in enumerate(bodies[start : start + 10])
                ]
                await client.send_message_batch(QueueUrl=self._url, Entries=group)

        run(self._do(send))

    def _group(self, body: bytes) -> dict[str, str]:
        if not self.name.endswith(".fifo"):
            return {}
        return {"MessageGroupId": "g", "MessageDeduplicationId": secrets.token_hex(8)}

    def left(self) -> int | None:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = run(self._do(lambda client: client.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)))
        return sum(int(found["Attributes"][each]) for each in names)

    def interrupt(self) -> None:
        raise NotImplementedError

    def delete(self) -> None:
        run(self._do(lambda client: client.delete_queue(QueueUrl=self._url)))

    async def _do(self, work: Any) -> Any:
        keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "right"}
        made = get_session().create_client("sqs", region_name="eu-central-1", endpoint_url=self.server.url, **keys)
        async with made as client:
            return await work(client)


class OutboxSource:
    """A table."""

    has = frozenset({"interrupt"})
    module, source = "postgresql_outbox", "PostgresqlOutbox"

    def __init__(self, server: Postgres) -> None:
        self.server, self.name = server, "outbox"
        self.connection = f'url = "postgresql://127.0.0.1:{server.port}/shop"\nusername = "pipeline"'
        self.rest = "public.outbox"

    def prepare(self) -> None:
        self.server.run("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        self.server.run("CREATE DATABASE shop")
        with self._connected() as connection:
            connection.execute(
                "CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text, taken_at "
                "timestamptz)"
            )

    def add(self, *bodies: bytes) -> None:
        with self._connected() as connection:
            for each in bodies:
                connection.execute("INSERT INTO outbox (payload) VALUES (%s)", [each.decode()])

    def left(self) -> int | None:
        with self._connected() as connection:
            (count,) = connection.execute("SELECT count(*) FROM outbox").fetchone() or (0,)
            return int(count)

    def interrupt(self) -> None:
        self.server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pipeline consume'"
        )

    def delete(self) -> None:
        with self._connected() as connection:
            connection.execute("DROP TABLE outbox")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.server.url_of("shop"), autocommit=True) as connection:
            yield connection


#: So that what a dead member had is given to another within a second, and messages of a dead process come again.
SHORTENED = (
    (kafka, "SESSION_SECONDS", 2.0),
    (kafka, "HEARTBEAT_SECONDS", 0.4),
    (nats_jetstream, "PING_SECONDS", 5),
    (nats_jetstream, "AGAIN_SECONDS", 0.3),
    # On a busy machine, what is put back may still be sent to a request that nobody hears.
    (nats_jetstream, "ACK_WAIT_SECONDS", 2.0),
)
