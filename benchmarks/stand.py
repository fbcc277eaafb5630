"""The test stand: PostgreSQL, a broker and workers of its own, on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.definitions import Definition, load_definition
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.worker import Cluster, Worker

#: As in production; the tests' leases are short.
LEASE_SECONDS = 60.0
BROKERS: dict[str, type[Redis] | type[RabbitMQ]] = {"redis": Redis, "rabbitmq": RabbitMQ}

DEFINITION = """
name = "benchmark"
[classify]
use = "benchmarks.stages:classify"
[[enrich]]
use = "benchmarks.stages:enrich"
"""


class Layout(StrEnum):
    """How the work is divided between workers."""

    DIVIDED = "divided"
    """One worker for control and callbacks, others for the stages."""
    TOGETHER = "together"
    """Each worker does everything."""

    def queues(self, processes: int) -> list[tuple[str, ...]]:
        """Return the options of each worker; `processes` are those that run stages."""
        if self is Layout.TOGETHER:
            return [()] * processes
        return [("--queues", "control,deliver"), *[("--queues", "classify,enrich")] * processes]


@dataclass(frozen=True)
class Stand:
    """What a measurement works with."""

    cluster: Cluster
    postgres: Postgres
    broker: Redis | RabbitMQ
    definition: Definition

    @contextmanager
    def crew(self, processes: int = 1, layout: Layout = Layout.DIVIDED, **settings: object) -> Iterator[list[Worker]]:
        """Run `processes` workers for the stages, and the others of a layout, with settings of their own."""
        workers = [self.cluster.worker(*options, **settings) for options in layout.queues(processes)]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.stop()
                self.cluster.workers.remove(worker)


@contextmanager
def stand(
    broker: str = "redis",
    *,
    processes: int = 1,
    layout: Layout = Layout.DIVIDED,
    content: str = DEFINITION,
    **settings: object,
) -> Iterator[Stand]:
    """Start PostgreSQL that waits for its disk, a broker, and the workers of a layout.

    Args:
        processes: workers that run stages; 0: no worker at all, not for control either.
        content: of the definition.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name, Postgres(is_durable=True) as postgres:
        folder = Path(name)
        definition = folder / "benchmark.toml"
        definition.write_text(content)
        chosen: dict[str, object] = {"lease_seconds": LEASE_SECONDS, "task_events": False} | settings
        with BROKERS[broker]() as server, Cluster(folder, postgres.database(), server.url, **chosen) as cluster:
            ready = Stand(cluster, postgres, server, load_definition(definition))
            with ready.crew(processes, layout) if processes else nullcontext():
                yield ready
