"""Chooses between the transports in this package and those that ship with kombu."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from kombu.transport import get_transport_cls
from kombu.transport.memory import Transport as MemoryTransport
from kombu.transport.virtual import BrokerState

from pipeline.settings import Transport

#: Where kombu finds the fast transport for each kind of broker. Each can be replaced by the kombu class it extends.
FAST = {
    Transport.MEMORY: "workers.transports.memory:MemoryTransport",
    Transport.REDIS: "workers.transports.redis_bulk:RedisTransport",
    Transport.RABBITMQ: "workers.transports.rabbitmq.transport:RabbitMQTransport",
}
#: URL schemes of each kind. Not `amqps`, because over TLS the fast transport would read one message at a time anyway.
_SCHEMES = {
    Transport.MEMORY: ("memory",),
    Transport.REDIS: ("redis", "rediss"),
    Transport.RABBITMQ: ("amqp", "pyamqp"),
}


def fast_aliases(kind: Transport) -> dict[str, str]:
    """Return entries for kombu's table of transports that replace kombu's own transport with the fast one."""
    return dict.fromkeys(_SCHEMES[kind], FAST[kind])


def embedded_transport(*, is_fast: bool) -> type[MemoryTransport]:
    """Return a new transport for the embedded mode, with queues that no other worker of the process shares."""
    transport: Any = get_transport_cls(FAST[Transport.MEMORY] if is_fast else Transport.MEMORY.value)
    channel = type("Channel", (transport.Channel,), {"queues": {}, "events": defaultdict(set)})
    own: type[MemoryTransport] = type("Transport", (transport,), {"Channel": channel, "global_state": BrokerState()})
    return own
