"""The protocols of message targets: who speaks each, and what has to be installed for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from pipeline.delivery.targets.link import Place, TargetLink
from pipeline.errors import InvalidSettings

OpenLink = Callable[[Place], Awaitable[TargetLink]]


@dataclass(frozen=True, slots=True)
class TargetProtocol:
    """How messages reach one kind of target.

    Args:
        module: has `open_link`; it imports the client of the protocol.
        client: the package that is needed, and its top-level module.
        extra: what installs it with pipeline; None: pipeline itself needs it.
        default_port: of a URL without one; 0: there is none.
    """

    module: str
    client: str
    client_module: str
    extra: str | None
    default_port: int = 0

    @property
    def is_installed(self) -> bool:
        return find_spec(self.client_module) is not None

    def load(self, scheme: str) -> OpenLink:
        """Return what opens links of this protocol.

        Raises:
            MissingClient: its client is not installed.
        """
        if not self.is_installed:
            raise MissingClient(self.advice(scheme))
        found: OpenLink = import_module(self.module).open_link
        return found

    def advice(self, scheme: str) -> str:
        """Return what to do if the client is not installed."""
        return f"{scheme}:// needs {self.client}: pip install 'pipeline[{self.extra}]'"


class MissingClient(InvalidSettings):
    """The client of a protocol is not installed."""


_HERE = "pipeline.delivery.targets"
_AMQP = f"{_HERE}.rabbitmq", "aiormq", "aiormq", "rabbitmq"
_REDIS = f"{_HERE}.redis_stream", "redis", "redis", None
_NATS = f"{_HERE}.nats_jetstream", "nats-py", "nats", "nats"

#: By scheme.
PROTOCOLS = {
    "amqp": TargetProtocol(*_AMQP, 5672),
    "amqps": TargetProtocol(*_AMQP, 5671),
    "redis": TargetProtocol(*_REDIS, 6379),
    "rediss": TargetProtocol(*_REDIS, 6379),
    "nats": TargetProtocol(*_NATS, 4222),
    "tls": TargetProtocol(*_NATS, 4222),
    "kafka": TargetProtocol(f"{_HERE}.kafka", "confluent-kafka", "confluent_kafka", "kafka"),
    "sqs": TargetProtocol(f"{_HERE}.sqs", "aiobotocore", "aiobotocore", "sqs"),
}
#: Schemes that are encrypted by their name alone.
ENCRYPTED = frozenset({"amqps", "rediss", "tls"})
