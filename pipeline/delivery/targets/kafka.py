"""Kafka: an idempotent producer whose delivery reports are the acknowledgements.

librdkafka opens its sockets itself, to brokers that other brokers name: hence a connection of the operator, always.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Producer

from pipeline.delivery.rules.delivery import AUTH_REFUSED, TARGET_MISSING, TIMEOUT, TOO_LARGE
from pipeline.delivery.rules.message import TargetMessage
from pipeline.delivery.targets.link import Place, TargetFailure
from pipeline.delivery.webhook.errors import ConnectionLost
from pipeline.domain.urls.route import KafkaRoute, Route
from pipeline.errors import InvalidSettings

EVENT_PREFIX = "ce_"
LINGER_MS = 5
#: librdkafka gives up this much before the delivery does: what it still held would be sent after the answer. It looks
#: for late messages once a second.
_GIVES_UP_BEFORE_SECONDS = 2.0
_LEAST_SECONDS = 1.0
#: How long a topic that a broker does not know may still be on its way to it.
_PROPAGATION_SECONDS = 5
#: How long the polling thread waits for a report.
_POLL_SECONDS = 0.5

_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}
_MISSING = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
_MISSING |= {KafkaError.TOPIC_EXCEPTION}
_NOT_PERMITTED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
}
#: The brokers take no more of this producer, and will of another.
_OVER = {
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    KafkaError._FATAL,
}
_LATE = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}
_UNAVAILABLE = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError._TRANSPORT,
}


async def open_link(place: Place) -> KafkaLink:
    """Make a producer. It connects by itself; whether it can shows with the first message."""
    link = KafkaLink(asyncio.get_running_loop())
    try:
        link.start(Producer({**_configuration(place), "error_cb": link.hear_error}))
    except (KafkaException, ValueError, TypeError) as error:
        raise InvalidSettings(f"the connection is refused by the client of Kafka: {_said(error)}") from None
    return link


def _configuration(place: Place) -> dict[str, Any]:
    seconds = max(place.deadline_seconds - _GIVES_UP_BEFORE_SECONDS, _LEAST_SECONDS)
    options = place.options
    has_login = "username" in options
    protocol = options.get("security_protocol", "SASL_SSL" if has_login else "PLAINTEXT")
    given = {
        "sasl.mechanism": options.get("sasl_mechanism", "PLAIN") if has_login else None,
        "sasl.username": options.get("username"),
        "sasl.password": options.get("password"),
        "ssl.ca.location": options.get("ca_file"),
    }
    return {
        "bootstrap.servers": place.hosts,
        "client.id": "pipeline",
        "security.protocol": protocol,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        "linger.ms": LINGER_MS,
        "delivery.timeout.ms": int(seconds * 1_000),
        # A request that a silent broker holds would keep the producer from beginning anew for a minute.
        "socket.timeout.ms": int(seconds * 1_000),
        "topic.metadata.propagation.max.ms": int(min(_PROPAGATION_SECONDS, seconds / 2) * 1_000),
        "socket.keepalive.enable": True,
        # What the client has to say goes to `hear_error`, not to the standard error of the process.
        "logger": None,
        "log_level": 0,
        **{name: value for name, value in given.items() if value is not None},
    }


class KafkaLink:
    """A producer, and the thread that waits for its reports."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._producer: Producer | None = None
        self._is_closed = False
        #: Whether this producer can send nothing more. What is in flight may still be reported.
        self._is_over = False
        #: The last error that concerns no message, since one was stored: why messages time out.
        self._trouble: int | None = None
        self._reports: deque[tuple[asyncio.Future[str], KafkaError | None, str]] = deque()
        self._is_draining = False
        self._waiting: set[asyncio.Future[str]] = set()
        self._thread = threading.Thread(target=self._poll, name="sender-kafka", daemon=True)

    @property
    def is_open(self) -> bool:
        return not self._is_over

    def start(self, producer: Producer) -> None:
        self._producer = producer
        self._thread.start()

    async def send(self, message: TargetMessage, route: Route) -> str:
        """Produce a message and wait for its report; see `TargetLink.send`."""
        route = cast("KafkaRoute", route)
        if self._producer is None or self._is_closed:
            raise ConnectionLost
        key = message.batch_id if route.key == "batch" else message.item_key
        waiting: asyncio.Future[str] = self._loop.create_future()

        def report(error: KafkaError | None, sent: Any) -> None:
            # On the polling thread.
            word = "" if error is not None else f"partition {sent.partition()} offset {sent.offset()}"
            self._reports.append((waiting, error, word))
            self._call_drain()

        self._waiting.add(waiting)
        try:
            self._producer.produce(
                route.topic, value=message.body, key=key or None, headers=_headers(message), on_delivery=report
            )
            return await waiting
        except BufferError:
            raise TargetFailure("unavailable", "too many messages wait in this process") from None
        except KafkaException as error:
            raise self._failure(error.args[0]) from None
        finally:
            self._waiting.discard(waiting)

    async def close(self) -> None:
        self._is_closed = self._is_over = True
        if self._producer is not None:
            # What was not reported counts as failed, and must not be sent after that.
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)
            await self._loop.run_in_executor(None, self._thread.join, 2 * _POLL_SECONDS)
            self._producer = None
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(ConnectionLost())

    def hear_error(self, error: KafkaError) -> None:
        """Note an error of the client. On the polling thread."""
        self._trouble = error.code()
        if error.fatal():
            # The next message gets another producer.
            self._is_over = True

    def _poll(self) -> None:
        producer = self._producer
        while producer is not None and not self._is_closed:
            producer.poll(_POLL_SECONDS)
        if producer is not None:
            producer.poll(0)

    def _call_drain(self) -> None:
        if not self._is_draining:
            self._is_draining = True
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        # Before it reads: a report that comes meanwhile calls again.
        self._is_draining = False
        while self._reports:
            waiting, error, word = self._reports.popleft()
            if waiting.done():
                continue
            if error is None:
                self._trouble = None
                waiting.set_result(word)
            else:
                waiting.set_exception(KafkaException(error))

    def _failure(self, error: KafkaError) -> Exception:
        """Return what an error means; of a message that was late, what the client says about the brokers."""
        code = error.code()
        if code in _LATE and self._trouble is not None:
            code = self._trouble
        if code in _OVER or error.fatal():
            self._is_over = True
            return TargetFailure("unavailable", f"{error.name()}: {error.str()}")
        if code in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            return ConnectionLost()
        return TargetFailure(_code(code), f"{error.name()}: {error.str()}")


def _code(code: int) -> str:
    table: tuple[tuple[set[int], str], ...] = (
        (_TOO_LARGE, TOO_LARGE),
        (_MISSING, TARGET_MISSING),
        (_NOT_PERMITTED, AUTH_REFUSED),
        (_UNAVAILABLE, "unavailable"),
        (_LATE, TIMEOUT),
        ({KafkaError._RESOLVE}, "dns_failure"),
        ({KafkaError._SSL}, "tls_handshake"),
        ({KafkaError.THROTTLING_QUOTA_EXCEEDED}, "throttled"),
    )
    return next((name for codes, name in table if code in codes), "refused")


def _headers(message: TargetMessage) -> list[tuple[str, str | bytes | None]]:
    headers: Mapping[str, str] = message.all_headers(EVENT_PREFIX)
    return [(name, value.encode()) for name, value in headers.items()]


def _said(error: BaseException) -> str:
    found = error.args[0] if error.args else error
    return found.str() if isinstance(found, KafkaError) else str(found)
