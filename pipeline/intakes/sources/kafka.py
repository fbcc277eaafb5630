"""Kafka: a member of a consumer group, whose offsets are those that are stored with the items.

The group only divides the partitions among processes. Offsets are committed to it for tools that show the lag.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.domain.urls.intake_source import TopicPlace
from pipeline.errors import InvalidSettings, SourceUnavailable
from pipeline.intakes.rules.log_offsets import FIRST, to_text
from pipeline.intakes.rules.messages import Chunk, IntakeMessage, OffsetRange
from pipeline.intakes.sources.source import Gap, IntakeReader, SourceMissing, SourceRestarted

#: Seconds for an answer of the brokers.
_TIMEOUT = 10.0
#: Seconds after which the group takes a silent member for dead, and between two signs of life.
SESSION_SECONDS, HEARTBEAT_SECONDS = 30.0, 3.0
#: Seconds that messages are waited for once there is one.
_GATHER_SECONDS = 0.05
#: Milliseconds that a broker holds a request for messages that it does not have.
_FETCH_WAIT_MS = 200

_NOT_PERMITTED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
}
_MISSING = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.TOPIC_EXCEPTION}


class KafkaTopic:
    """Reads the partitions that the group assigns to this process."""

    is_exclusive = False

    def __init__(self, place: TopicPlace, options: Mapping[str, str], shown: str, reader: IntakeReader) -> None:
        self._topic, self._shown = place.topic, shown
        #: Where this reader stands in the partitions that are placed.
        self._stands: dict[int, int] = {}
        self._unplaced: set[int] = set()
        #: Partitions whose last message was read.
        self._at_end: set[int | None] = set()
        self._is_member = False
        self._taken: dict[int, int] = {}
        self._troubles: deque[Gap | SourceRestarted] = deque()
        #: Partitions whose next messages were deleted: where the first is that is left.
        self._moved: dict[int, int] = {}
        #: The last error that concerns no message.
        self._error: KafkaError | None = None
        with self._explained():
            self._consumer = Consumer(_configuration(place, options, reader) | {"error_cb": self._hear_error})
            try:
                self._partitions()
                self._consumer.subscribe([self._topic], self._assign, self._revoke, self._revoke)
            except BaseException:
                self._consumer.close()
                raise

    @property
    def unplaced(self) -> Sequence[str]:
        return [str(each) for each in sorted(self._unplaced)]

    @property
    def is_drained(self) -> bool:
        return self._is_member and not self._unplaced and self._at_end >= self._stands.keys()

    def ends(self) -> dict[str, str]:
        return {str(each): to_text(self._watermarks(each)[1]) for each in self._partitions()}

    def earliest(self, partition: str) -> str:
        return to_text(self._watermarks(int(partition))[0])

    def seek(self, partition: str, offset: str) -> None:
        number, stand = int(partition), int(offset)
        # One that was rewound begins with what is left, and misses nothing.
        begin = self._watermarks(number)[0] if offset == FIRST else stand
        with self._explained():
            self._place(number, begin)
        self._stands[number] = stand
        self._unplaced.discard(number)
        self._at_end.discard(number)
        self._moved.pop(number, None)

    def take(self, limit: int, seconds: float) -> Chunk:
        messages = [] if self._troubles or self._moved else self._poll(limit, seconds)
        # After the messages before them.
        if self._troubles and not messages:
            raise self._troubles.popleft()
        ends = {} if messages else {each: end for each, end in self._moved.items() if each in self._stands}
        if not messages:
            self._moved = {}
        for message in messages:
            ends[message.partition() or 0] = (message.offset() or 0) + 1
        ranges = [OffsetRange(str(each), to_text(self._stands[each]), to_text(end)) for each, end in ends.items()]
        self._stands |= ends
        self._taken = ends
        return Chunk([_message(each) for each in messages], tuple(ranges))

    def keep_alive(self) -> None:
        """Poll: a member that does not is taken for dead. Its partitions are paused meanwhile."""
        self.put_back()
        with self._explained():
            message = self._consumer.poll(0)
        if message is not None:
            self._hear(message)

    def confirm(self) -> None:
        given = [TopicPartition(self._topic, number, end) for number, end in self._taken.items()]
        self._taken = {}
        # Partitions may have gone to another member meanwhile. What counts is stored with the items.
        with suppress(KafkaException):
            if given:
                self._consumer.commit(offsets=given, asynchronous=False)

    def put_back(self) -> None:
        with self._explained():
            self._consumer.pause([TopicPartition(self._topic, number) for number in self._stands])
        self._unplaced |= set(self._stands)
        self._stands, self._taken, self._moved = {}, {}, {}
        self._at_end.clear()
        self._troubles.clear()

    def backlog(self, positions: Mapping[str, str]) -> int | None:
        """Return the lag of all partitions; marks of transactions count as messages."""
        ends = self.ends()
        return sum(max(0, int(end) - int(positions.get(each) or self.earliest(each))) for each, end in ends.items())

    def close(self) -> None:
        with suppress(KafkaException, RuntimeError):
            self._consumer.close()

    def _poll(self, limit: int, seconds: float) -> list[Message]:
        """Return messages of partitions that are placed, in the order of each partition."""
        with self._explained():
            first = self._consumer.poll(seconds)
            found = [] if first is None else [first]
            if first is not None and first.error() is None and limit > 1:
                found += self._consumer.consume(limit - 1, _GATHER_SECONDS)
        if first is None:
            self._check_brokers()
        # A partition that was revoked, perhaps to be assigned again at once, is not placed.
        messages = [each for each in found if each.error() is None and each.partition() in self._stands]
        self._at_end -= {each.partition() for each in messages}
        for each in found:
            if each.error() is not None:
                self._hear(each, messages)
        return messages

    def _hear(self, message: Message, messages: Sequence[Message] = ()) -> None:
        """Note what an error among messages means for the next call."""
        error, number = message.error(), message.partition()
        if error is None:
            return
        if error.code() in _MISSING:
            # Brokers that have just started may not know it yet.
            self._partitions()
        elif error.code() == KafkaError._PARTITION_EOF:
            self._at_end |= {number} & self._stands.keys()
        elif error.code() != KafkaError._AUTO_OFFSET_RESET:
            raise self._failure(error)
        elif number in self._stands:
            reached = [(each.offset() or 0) + 1 for each in messages if each.partition() == number]
            self._find_offset(number, max([self._stands[number], *reached]))

    def _find_offset(self, number: int, stand: int) -> None:
        """Go on in a partition that does not have the offset where its reader stands."""
        low, high = self._watermarks(number)
        if stand > high:
            self._troubles.append(SourceRestarted(f"partition {number} of topic {self._topic!r} ends at {high}"))
            return
        with self._explained():
            self._place(number, max(stand, low))
        if stand < low:
            self._moved[number] = low
            self._troubles.append(Gap(f"{number}/{stand}", f"{number}/{low}"))

    def _check_brokers(self) -> None:
        """Ask for the topic once the client lost all brokers: it would go on trying without a word."""
        error, self._error = self._error, None
        if error is None:
            return
        if error.code() in _NOT_PERMITTED:
            raise self._failure(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._partitions()

    def _place(self, number: int, offset: int) -> None:
        # Not `seek`, which a partition refuses while it looks for its offset.
        at = TopicPartition(self._topic, number, offset)
        self._consumer.incremental_unassign([at])
        self._consumer.incremental_assign([at])
        self._consumer.resume([at])

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        given = [TopicPartition(self._topic, each.partition, 0) for each in partitions]
        consumer.incremental_assign(given)
        consumer.pause(given)
        self._unplaced |= {each.partition for each in partitions}
        self._is_member = True

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._unplaced.discard(each.partition)
            self._at_end.discard(each.partition)
            for known in (self._stands, self._taken, self._moved):
                known.pop(each.partition, None)

    def _partitions(self) -> list[int]:
        with self._explained():
            found = self._consumer.list_topics(self._topic, timeout=_TIMEOUT).topics[self._topic]
        if found.error is not None:
            raise self._failure(found.error)
        return sorted(found.partitions)

    def _watermarks(self, number: int) -> tuple[int, int]:
        with self._explained():
            found = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=_TIMEOUT)
        if found is None:
            raise SourceUnavailable(f"{self._shown} does not answer: timeout")
        return found

    def _hear_error(self, error: KafkaError) -> None:
        if self._error is None or self._error.code() not in _NOT_PERMITTED:
            self._error = error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            found: Any = error.args[0] if error.args else None
            raise self._failure(found) from None
        except (ValueError, TypeError, RuntimeError) as error:
            raise InvalidSettings(f"{self._shown} is refused by the client of Kafka: {error}") from None

    def _failure(self, error: object) -> Exception:
        if not isinstance(error, KafkaError):
            return SourceUnavailable(f"{self._shown} does not answer: {error}")
        noted = self._error
        if noted is not None and noted.code() in _NOT_PERMITTED:
            error = noted
        if error.code() in _MISSING:
            return SourceMissing(f"{self._shown} has no topic {self._topic!r}; create it, or mend its name")
        if error.code() in _NOT_PERMITTED:
            return InvalidSettings(f"{self._shown} refuses the credentials, or lets them not read: {error.name()}")
        if error.code() == KafkaError._INVALID_ARG:
            return InvalidSettings(f"{self._shown} is refused by the client of Kafka: {error.name()}")
        return SourceUnavailable(f"{self._shown} does not answer: {error.name()}")


def _configuration(place: TopicPlace, options: Mapping[str, str], reader: IntakeReader) -> dict[str, Any]:
    has_login = "username" in options
    given = {
        "sasl.mechanism": options.get("sasl_mechanism", "PLAIN") if has_login else None,
        "sasl.username": options.get("username"),
        "sasl.password": options.get("password"),
        "ssl.ca.location": options.get("ca_file"),
    }
    return {
        "bootstrap.servers": place.hosts,
        "client.id": "pipeline",
        "group.id": reader.name,
        "security.protocol": options.get("security_protocol", "SASL_SSL" if has_login else "PLAINTEXT"),
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(SESSION_SECONDS * 1_000),
        "heartbeat.interval.ms": int(HEARTBEAT_SECONDS * 1_000),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        # Offsets that are gone are told, never skipped in silence.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": _FETCH_WAIT_MS,
        "fetch.error.backoff.ms": _FETCH_WAIT_MS,
        "socket.timeout.ms": int(_TIMEOUT * 1_000),
        "socket.keepalive.enable": True,
        # Two chunks are at hand at most, so far as messages are small.
        "queued.min.messages": 2 * reader.chunk,
        "queued.max.messages.kbytes": 16_384,
        # What the client has to say goes to `_hear_error`, not to the standard error of the process.
        "logger": None,
        "log_level": 0,
        **{name: value for name, value in given.items() if value is not None},
    }


def _message(message: Message) -> IntakeMessage:
    return IntakeMessage(message.value(), str(message.partition()), to_text(message.offset() or 0))
