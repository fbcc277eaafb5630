"""Fixtures for servers and databases; the end of a run says which of them it went without."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from pipeline.database.engine import Database
from pipeline.database.schema import upgrade_schema
from tests.support.collection import assert_marked
from tests.support.servers.mariadb import MariaDB
from tests.support.servers.moto import Moto
from tests.support.servers.nats import Nats
from tests.support.servers.object_store import ObjectStore
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.server import NotAvailable, Server
from tests.support.servers.tansu import Kafka
from tests.support.servers.worker import Cluster

LEFT_OUT = "left out: "

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
on_redis = pytest.mark.parametrize("broker", ["redis"], indirect=True)
on_rabbitmq = pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)

S = TypeVar("S", bound=Server)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """A PostgreSQL server, running; a test that stops it starts it again."""
    yield from _running(Postgres, pytestconfig)


@pytest.fixture(scope="session")
def redis(pytestconfig: pytest.Config) -> Iterator[Redis]:
    """A Redis server, running; a test that stops it starts it again."""
    yield from _running(Redis, pytestconfig)


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config) -> Iterator[RabbitMQ]:
    """A RabbitMQ server, running; a test that stops it starts it again."""
    yield from _running(RabbitMQ, pytestconfig)


@pytest.fixture(scope="session")
def mariadb(pytestconfig: pytest.Config) -> Iterator[MariaDB]:
    """A MariaDB server, running."""
    yield from _running(MariaDB, pytestconfig)


@pytest.fixture(scope="session")
def nats(pytestconfig: pytest.Config) -> Iterator[Nats]:
    """A NATS server with JetStream, running; a test that stops it starts it again."""
    yield from _running(Nats, pytestconfig)


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[Kafka]:
    """A broker that speaks Kafka's protocol, running; a test that stops it starts it again."""
    yield from _running(Kafka, pytestconfig)


@pytest.fixture(scope="session")
def sqs(pytestconfig: pytest.Config) -> Iterator[Moto]:
    """A server of queues that speaks SQS, running."""
    yield from _running(Moto, pytestconfig)


@pytest.fixture(scope="session")
def object_store(pytestconfig: pytest.Config) -> Iterator[ObjectStore]:
    """An S3 server, running."""
    yield from _running(ObjectStore, pytestconfig)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Redis | RabbitMQ:
    """A broker that is empty: the test runs once on each kind. A test that is about one of them says so."""
    server: Redis | RabbitMQ = request.getfixturevalue(request.param)
    server.clear()
    return server


@pytest.fixture
def cluster(broker: Redis | RabbitMQ, postgresql_url: str, tmp_path: Path) -> Iterator[Cluster]:
    """PostgreSQL, a broker and a client; a test starts the workers it needs."""
    with Cluster(tmp_path, postgresql_url, broker.url) as running:
        yield running


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database of the newest version, to copy."""
    path = tmp_path_factory.mktemp("migrated") / "pipeline.db"
    database = Database(f"sqlite:///{path}")
    upgrade_schema(database)
    database.close()
    return path


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """The URL of an empty SQLite database of the newest version."""
    path = tmp_path / "pipeline.db"
    shutil.copy(migrated_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the newest version."""
    url = postgres.database()
    yield url
    postgres.give_back(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the newest version: the test runs once on each kind.

    A test that is about one of them says so: `on_sqlite`, `on_postgresql`.
    """
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database of the newest version, open: the test runs once on each kind."""
    opened = Database(database_url)
    yield opened
    opened.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers could not be had, and how many tests that left out."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr]
    for reason, number in Counter(reasons).items():
        if LEFT_OUT in reason:
            terminalreporter.write_line(f"{reason.removeprefix('Skipped: ')} ({number} tests)", yellow=True)


def _running(kind: type[S], config: pytest.Config) -> Iterator[S]:
    assert_marked(config)
    try:
        server = kind()
    except NotAvailable as error:
        pytest.skip(f"{LEFT_OUT}everything on {kind.__name__}: {error}")
    with server:
        yield server
