"""The brokers that message targets are tested on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping
from typing import Any

import aiormq
import redis.asyncio

from tests.integration.delivery.targets.contract import Taken
from tests.support.lazy import Lazy
from tests.support.servers.moto import Moto
from tests.support.servers.nats import Nats
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.tansu import Kafka

nats = Lazy("nats")
jetstream = Lazy("nats.js.api")
jetstream_errors = Lazy("nats.js.errors")
aiobotocore = Lazy("aiobotocore.session")
kafka = Lazy("confluent_kafka")
kafka_admin = Lazy("confluent_kafka.admin")


class RabbitTarget:
    """Exchange `tests` with a queue for `new`, none for `nowhere`, and one that is full for `full`."""

    scheme, event_prefix = "amqp", "cloudevents:"
    has = frozenset({"missing", "refusing", "unroutable", "auth", "proxy"})
    credentials: Mapping[str, str] = {"username": "guest", "password": "guest"}

    def __init__(self, server: RabbitMQ) -> None:
        self.server, self.port = server, server.port

    def base(self, port: int) -> str:
        return f"amqp://127.0.0.1:{port}/%2F"

    def rest(self, case: str) -> str:
        return {"plain": "tests/new", "missing": "absent/new", "refusing": "tests/full", "unroutable": "tests/no"}[case]

    async def prepare(self) -> None:
        connection = await aiormq.connect(self.server.url)
        channel = await connection.channel()
        await channel.exchange_declare("tests", exchange_type="direct", durable=True)
        await channel.queue_declare("new", durable=True)
        await channel.queue_purge("new")
        full = {"x-max-length": 0, "x-overflow": "reject-publish"}
        await channel.queue_declare("full", durable=True, arguments=full)
        for queue in ("new", "full"):
            await channel.queue_bind(queue, "tests", queue)
        await connection.close()

    async def taken(self) -> list[Taken]:
        connection = await aiormq.connect(self.server.url)
        channel = await connection.channel()
        found = []
        while (got := await channel.basic_get("new", no_ack=True)).body:
            properties = got.header.properties
            assert properties.delivery_mode == 2
            assert properties.message_id == (properties.headers or {})["webhook-id"]
            headers = {name.lower(): str(value) for name, value in (properties.headers or {}).items()}
            found.append(Taken(bytes(got.body), headers))
        await connection.close()
        return found


class RedisTarget:
    """A stream, and a key that is none."""

    scheme, event_prefix = "redis", "ce-"
    has = frozenset({"missing", "refusing", "auth", "proxy"})
    credentials: Mapping[str, str] = {"username": "tests", "password": "right"}

    def __init__(self, server: Redis) -> None:
        self.server, self.port = server, server.port

    def base(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}/0"

    def rest(self, case: str) -> str:
        return {"plain": "tests:new", "missing": "tests:text", "refusing": "tests:other", "forbidden": "theirs"}[case]

    async def prepare(self) -> None:
        async with redis.asyncio.Redis.from_url(self.server.url) as client:
            await client.delete("tests:new", "tests:other")
            await client.set("tests:text", "no stream")
            await client.execute_command("ACL", "SETUSER", "tests", "on", ">right", "~tests:*", "+@all")

    async def refuse(self, is_full: bool) -> None:
        async with redis.asyncio.Redis.from_url(self.server.url) as client:
            await client.config_set("maxmemory", "1" if is_full else "0")

    async def taken(self) -> list[Taken]:
        async with redis.asyncio.Redis.from_url(self.server.url) as client:
            entries = await client.xrange("tests:new")
        found = []
        for _, fields in entries:
            headers = {name.decode(): value.decode() for name, value in fields.items() if name != b"body"}
            found.append(Taken(fields[b"body"], headers))
        return found


class NatsTarget:
    """A stream for `tests.new`, and one that holds a single message and discards what is new."""

    scheme, event_prefix = "nats", "ce-"
    has = frozenset({"missing", "refusing", "too_large", "auth", "forbidden", "proxy", "deduplicates"})
    credentials: Mapping[str, str] = {"username": "tests", "password": "right"}

    def __init__(self, server: Nats) -> None:
        self.server, self.port = server, server.port

    def base(self, port: int) -> str:
        return f"nats://127.0.0.1:{port}"

    def rest(self, case: str) -> str:
        cases = {"plain": "tests.new", "missing": "nowhere.new", "refusing": "full.new", "forbidden": "forbidden.new"}
        return cases[case]

    async def prepare(self) -> None:
        client = await nats.connect(self.server.url)
        stream = client.jetstream()
        # Anew: one that was purged still knows the ids of what it held.
        for name in ("TESTS", "FULL"):
            with contextlib.suppress(jetstream_errors.NotFoundError):
                await stream.delete_stream(name)
        await stream.add_stream(jetstream.StreamConfig(name="TESTS", subjects=["tests.>"]))
        full = jetstream.StreamConfig(name="FULL", subjects=["full.>"], max_msgs=1, discard=jetstream.DiscardPolicy.NEW)
        await stream.add_stream(full)
        await stream.publish("full.new", b"the only one")
        await client.close()

    async def taken(self) -> list[Taken]:
        client = await nats.connect(self.server.url)
        stream = client.jetstream()
        state = (await stream.stream_info("TESTS")).state
        found = []
        for seq in range(state.first_seq, state.last_seq + 1):
            message = await stream.get_msg("TESTS", seq)
            headers = {name.lower(): value for name, value in (message.headers or {}).items()}
            found.append(Taken(message.data or b"", headers))
        await client.close()
        return found


class KafkaTarget:
    """A topic of one partition, new for each test. No proxy: its broker says itself where it is reached."""

    scheme, event_prefix = "kafka", "ce_"
    has = frozenset({"too_large"})
    credentials: Mapping[str, str] = {}

    def __init__(self, server: Kafka) -> None:
        self.server, self.port = server, server.port
        self.topic = f"tests-{secrets.token_hex(4)}"

    def base(self, port: int) -> str:
        return f"kafka://127.0.0.1:{port}"

    def rest(self, case: str) -> str:
        return f"{self.topic}?key=item"

    async def prepare(self) -> None:
        admin = kafka_admin.AdminClient({"bootstrap.servers": self.server.url})
        made = admin.create_topics([kafka_admin.NewTopic(self.topic, num_partitions=1, replication_factor=1)])
        await asyncio.to_thread(made[self.topic].result, 20)

    async def taken(self) -> list[Taken]:
        return await asyncio.to_thread(self._taken)

    def _taken(self) -> list[Taken]:
        options = {"bootstrap.servers": self.server.url, "group.id": secrets.token_hex(4), "enable.partition.eof": True}
        consumer = kafka.Consumer({**options, "auto.offset.reset": "earliest", "enable.auto.commit": False})
        consumer.assign([kafka.TopicPartition(self.topic, 0, 0)])
        found = []
        while (message := consumer.poll(20)) is not None and message.error() is None:
            headers = {name.lower(): value.decode() for name, value in message.headers() or []}
            assert message.key() == b"T-1"
            found.append(Taken(message.value(), headers))
        consumer.close()
        return found


class SqsTarget:
    """A queue, and one that is FIFO."""

    scheme, event_prefix = "sqs", "ce-"
    has = frozenset({"missing", "too_large", "proxy", "slow"})

    def __init__(self, server: Moto) -> None:
        self.server, self.port = server, server.port
        self.queue = f"tests-{secrets.token_hex(4)}"
        self.credentials: Mapping[str, str] = {
            "access_key_id": "tests",
            "secret_access_key": "right",
            "endpoint": server.url,
        }

    def base(self, port: int) -> str:
        return "sqs://eu-central-1/123456789012"

    def rest(self, case: str) -> str:
        return {"plain": self.queue, "missing": "absent"}[case]

    def by_way_of(self, port: int) -> Mapping[str, str]:
        return {"endpoint": f"http://127.0.0.1:{port}"}

    async def prepare(self) -> None:
        async with self._client() as client:
            await client.create_queue(QueueName=self.queue)

    async def taken(self) -> list[Taken]:
        found = []
        async with self._client() as client:
            url = f"{self.server.url}/123456789012/{self.queue}"
            wanted = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
            while messages := (await client.receive_message(**wanted)).get("Messages"):
                for message in messages:
                    attributes = message["MessageAttributes"].items()
                    headers = {name.lower(): value["StringValue"] for name, value in attributes}
                    found.append(Taken(message["Body"].encode(), headers))
        return found

    def _client(self) -> Any:
        keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "right"}
        return aiobotocore.get_session().create_client(
            "sqs", region_name="eu-central-1", endpoint_url=self.server.url, **keys
        )
