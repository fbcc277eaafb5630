"""The mock cluster of librdkafka: brokers inside this process that speak Kafka's protocol to any client.

Its offsets and watermarks are exact, its records can be deleted, and its brokers taken down.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka
from confluent_kafka import Producer, TopicPartition

_PRODUCER = 0
_TEXT_BYTES = 512


class KafkaCluster:
    """A cluster of one broker, with topics of two partitions."""

    def __init__(self) -> None:
        self._library = _library()
        said = ctypes.create_string_buffer(_TEXT_BYTES)
        self._client = self._call("rd_kafka_new", _PRODUCER, self._call("rd_kafka_conf_new"), said, _TEXT_BYTES)
        assert self._client, said.value
        self._cluster = self._call("rd_kafka_mock_cluster_new", self._client, 1)
        # A group would wait three seconds for more members.
        self._call("rd_kafka_mock_group_initial_rebalance_delay_ms", self._cluster, 0)
        self.url = ctypes.string_at(self._call("rd_kafka_mock_cluster_bootstraps", self._cluster)).decode()
        self._producer = Producer({"bootstrap.servers": self.url, "linger.ms": 0})

    def create(self, topic: str, partitions: int = 2) -> None:
        """Create a topic."""
        self._call("rd_kafka_mock_topic_create", self._cluster, topic.encode(), partitions, 1)

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        self._call("rd_kafka_mock_topic_delete", self._cluster, topic.encode())

    def add(self, topic: str, bodies: Iterable[bytes | None], partition: int | None = None) -> None:
        """Append messages, in turn to each partition unless one is given."""
        for number, body in enumerate(bodies):
            self._producer.produce(topic, body, partition=number % 2 if partition is None else partition)
        assert self._producer.flush(30) == 0

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Delete the messages of a partition below an offset."""
        topic_name = topic.encode()
        offset = ctypes.c_int64(before)
        self._call("rd_kafka_mock_partition_delete_records", self._cluster, topic_name, partition, offset)

    def take_down(self) -> None:
        """Have the broker refuse connections, and close those that it has."""
        self._call("rd_kafka_mock_broker_set_down", self._cluster, 1)

    def bring_up(self) -> None:
        """Let the broker answer again, with all that it had."""
        self._call("rd_kafka_mock_broker_set_up", self._cluster, 1)

    def committed(self, group: str, topic: str) -> list[int]:
        """Return the offsets that a group has committed, by partition."""
        client = confluent_kafka.Consumer({"bootstrap.servers": self.url, "group.id": group})
        found = client.committed([TopicPartition(topic, each) for each in range(2)], timeout=30)
        client.close()
        return [each.offset for each in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call("rd_kafka_mock_cluster_destroy", self._cluster)

    def _call(self, name: str, *given: object) -> int:
        function = getattr(self._library, name)
        function.restype = ctypes.c_void_p
        # Pointers are integers here, which are cut to 32 bits unless they say what they are.
        is_pointer = [isinstance(each, int) and each > 2**31 for each in given]
        found = function(
            *(ctypes.c_void_p(each) if pointer else each for each, pointer in zip(given, is_pointer, strict=True))  # type: ignore[arg-type]
        )
        return int(found or 0)


def _library() -> ctypes.CDLL:
    """Return the library that the client has loaded."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    (found,) = folder.glob("librdkafka*")
    return ctypes.CDLL(str(found))
