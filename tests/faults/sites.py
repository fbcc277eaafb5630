"""Sites by name, on servers that run already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.database.engine import Database
from pipeline.database.schema import upgrade_schema
from tests.faults.site import MAX_CRASHES, Site
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis


@contextmanager
def embedded(folder: Path, *, max_crashes: int = MAX_CRASHES) -> Iterator[Site]:
    """SQLite, and programs that embed pipeline."""
    url = f"sqlite:///{folder / 'pipeline.db'}"
    database = Database(url)
    upgrade_schema(database)
    database.close()
    with Site(folder, url, max_crashes=max_crashes) as site:
        yield site


@contextmanager
def distributed(
    folder: Path, postgres: Postgres, broker: Redis | RabbitMQ, *, max_crashes: int = MAX_CRASHES
) -> Iterator[Site]:
    """PostgreSQL, a broker, and workers."""
    broker.clear()
    url = postgres.database()
    with Site(folder, url, postgres=postgres, broker=broker, max_crashes=max_crashes) as site:
        yield site
    postgres.drop(url)
