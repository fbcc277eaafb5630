"""How many events a sender brings to a message target, and how long one takes at a low rate.

python -m benchmarks.targets [--events 20000] [--only redis,rabbitmq,nats,kafka,webhook]

Claimed from PostgreSQL, sent, acknowledged and recorded by one sender in this process. The servers are real ones,
started for it. `webhook` sends the same events over HTTP to a receiver, for comparison.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import click
from sqlalchemy import text

from benchmarks.delivery import sink
from pipeline.connections.connection import NamedConnection, NamedConnections
from pipeline.connections.destinations import Destinations
from pipeline.database.engine import Database
from pipeline.database.schema import upgrade_schema
from pipeline.delivery.sender.sender import Sender
from pipeline.delivery.webhook.options import SenderOptions
from tests.integration.delivery.targets.contract import TargetServer, event
from tests.integration.delivery.targets.servers import KafkaTarget, NatsTarget, RabbitTarget, RedisTarget
from tests.support.receivers.owed import LOOPBACK, SECRET, owe, owe_next, to
from tests.support.servers.nats import Nats
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.tansu import Kafka

KINDS = ("webhook", "redis", "rabbitmq", "nats", "kafka")
#: Events at a low rate, and the pause between two.
FEW, PAUSE_SECONDS = 200, 0.01
#: Seconds between two looks at what is left, each of which takes time from the sender; and until it is given up.
LOOK_SECONDS, MOST_SECONDS = 0.1, 600.0
_LEFT = text("SELECT count(*) FROM deliveries WHERE state <> 'delivered'")
_ENDED = text(
    "SELECT extract(epoch FROM finished_at - created_at) AS seconds FROM deliveries WHERE seq >= :first ORDER BY 1"
)


@click.command()
@click.option("--events", default=20_000, show_default=True)
@click.option("--only", default=",".join(KINDS), show_default=True, help="Kinds of targets.")
def main(events: int, only: str) -> None:
    """Measure each kind by itself."""
    with Postgres() as postgres:
        for kind in only.split(","):
            with _target(kind) as (destinations, url, origin):
                rate, waits = _measure(postgres.database(), destinations, (url, origin), events)
            p50, p95 = (waits[int(len(waits) * share)] * 1e3 for share in (0.5, 0.95))
            click.echo(f"{kind:<9} {rate:>7,.0f} events/s   p50 {p50:.0f} ms, p95 {p95:.0f} ms at 100/s")


@contextlib.contextmanager
def _target(kind: str) -> Iterator[tuple[Destinations, str, str]]:
    if kind == "webhook":
        with sink() as port:
            ((url, origin),) = to(port)
            yield Destinations(allow_private=LOOPBACK), url, origin
        return
    with contextlib.ExitStack() as stack:
        target = _start(kind, stack)
        asyncio.run(target.prepare())
        connection = NamedConnection("bus", target.base(target.port), options=dict(target.credentials))
        yield (
            Destinations(connections=NamedConnections({"bus": connection})),
            f"conn://bus/{target.rest('plain')}",
            "conn://bus",
        )


def _start(kind: str, stack: contextlib.ExitStack) -> TargetServer:
    if kind == "redis":
        return RedisTarget(stack.enter_context(Redis()))
    if kind == "rabbitmq":
        return RabbitTarget(stack.enter_context(RabbitMQ()))
    if kind == "nats":
        return NatsTarget(stack.enter_context(Nats()))
    return KafkaTarget(stack.enter_context(Kafka()))


def _measure(
    database_url: str, destinations: Destinations, target: tuple[str, str], events: int
) -> tuple[float, list[float]]:
    """Return events a second at full load, and the seconds from commit to record of each at a low rate, sorted."""
    database = Database(database_url)
    upgrade_schema(database)
    owe(database, [])
    owe_next(database, [(target, event(seq, padding=300)) for seq in range(1, events + 1)], 1)
    sender = Sender(database, [SECRET], destinations, worker="benchmark", options=SenderOptions())
    started = time.monotonic()
    sender.start()
    _wait_until_delivered(database)
    rate = events / (time.monotonic() - started)
    for number in range(FEW):
        owe_next(database, [(target, event(1))], events + 1 + number)
        sender.wake()
        time.sleep(PAUSE_SECONDS)
    _wait_until_delivered(database)
    sender.stop(0)
    with database.read() as connection:
        waits = [float(row.seconds) for row in connection.execute(_ENDED, {"first": events + 1})]
    database.close()
    return rate, waits


def _wait_until_delivered(database: Database) -> None:
    until = time.monotonic() + MOST_SECONDS
    while left := _left(database):
        if time.monotonic() >= until:
            raise click.ClickException(f"{left:,} events are not delivered after {MOST_SECONDS:,.0f} s")
        time.sleep(LOOK_SECONDS)


def _left(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(_LEFT).scalar_one())


if __name__ == "__main__":
    main()
