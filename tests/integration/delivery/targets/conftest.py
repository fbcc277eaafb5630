"""One broker of each kind, for the contract of message targets."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.delivery.targets.contract import TargetServer
from tests.integration.delivery.targets.servers import (
    KafkaTarget,
    NatsTarget,
    RabbitTarget,
    RedisTarget,
    SqsTarget,
)

KINDS = {
    "rabbitmq": RabbitTarget,
    "redis": RedisTarget,
    "nats": NatsTarget,
    "kafka": KafkaTarget,
    "sqs": SqsTarget,
}


@pytest.fixture(params=list(KINDS))
def target(request: pytest.FixtureRequest) -> TargetServer:
    """A broker whose queues and streams are there, and empty: the test runs once on each kind."""
    found: TargetServer = KINDS[request.param](request.getfixturevalue(request.param))
    asyncio.run(found.prepare())
    return found
