"""Chooses who carries messages: the transports in this package, or those that kombu brings along."""

from __future__ import annotations

from pipeline.settings import Transport

#: Where kombu finds the fast transport of each kind. Each is a subclass of kombu's own and can be replaced by it.
FAST = {
    Transport.MEMORY: "workers.transports.memory:MemoryTransport",
    Transport.REDIS: "workers.transports.redis_bulk:RedisTransport",
    Transport.RABBITMQ: "workers.transports.rabbitmq.transport:RabbitMQTransport",
}
#: Schemes of the URLs that each kind serves. `amqps` is not among them: over TLS there is nothing to gain.
_SCHEMES = {
    Transport.MEMORY: ("memory",),
    Transport.REDIS: ("redis", "rediss"),
    Transport.RABBITMQ: ("amqp", "pyamqp"),
}


def fast_aliases(kind: Transport) -> dict[str, str]:
    """Return entries for kombu's table of transports that put the fast one in place of kombu's own."""
    return dict.fromkeys(_SCHEMES[kind], FAST[kind])


def embedded_transport(*, is_fast: bool) -> str:
    """Return the name by which kombu finds the transport of the embedded mode."""
    return FAST[Transport.MEMORY] if is_fast else Transport.MEMORY.value
