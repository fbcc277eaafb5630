"""What a comparison ran on: the machine, its load, and the version of everything."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import amqp
import psycopg

from benchmarks.comparison.receiver import Receiver
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis

PACKAGES = (
    "pipeline", "celery", "kombu", "dramatiq", "pika", "taskiq", "taskiq-redis", "saq", "procrastinate",
    "pgqueuer", "dbos", "redis", "hiredis", "sqlalchemy", "psycopg", "asyncpg", "requests", "aiohttp", "uvloop",
)  # fmt: skip
_GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """What is told of the machine."""

    cores: int
    processor: str
    memory_gib: float
    system: str
    #: Runnable processes in the last minute, before anything of ours ran.
    load: float
    postgresql: str
    versions: Mapping[str, str]

    @classmethod
    def look(
        cls, postgres: Postgres, brokers: Mapping[str, Redis | RabbitMQ], receiver: Receiver, load: float
    ) -> Machine:
        """Return this machine, with these servers on it."""
        servers = {"PostgreSQL": _setting(postgres, "server_version")}
        servers |= {_NAMES[name]: _version(broker) for name, broker in brokers.items()}
        durability = ", ".join(
            f"{name} {_setting(postgres, name)}" for name in ("fsync", "synchronous_commit", "full_page_writes")
        )
        return cls(
            cores=os.cpu_count() or 0,
            processor=_processor(),
            memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB,
            system=f"{platform.system()} {platform.release()}",
            load=load,
            postgresql=durability,
            versions={"Python": platform.python_version()} | servers | {"receiver": _receiver(receiver)} | _packages(),
        )

    def to_text(self) -> str:
        """Return it in three lines."""
        return (
            f"{self.cores} cores, {self.processor}, {self.memory_gib:.0f} GiB of memory, {self.system}; "
            f"load {self.load:.1f} at the start\n"
            f"PostgreSQL with {self.postgresql}\n"
            + ", ".join(f"{name} {number}" for name, number in self.versions.items())
        )


_NAMES = {"redis": "Redis", "rabbitmq": "RabbitMQ"}


def _setting(postgres: Postgres, name: str) -> str:
    with psycopg.connect(postgres.url) as connection:
        found = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    return str(found[0]) if found else ""


def _version(broker: Redis | RabbitMQ) -> str:
    if isinstance(broker, Redis):
        with broker.client() as client:
            return str(client.info("server")["redis_version"])
    with amqp.Connection(f"127.0.0.1:{broker.port}") as connection:
        return str(connection.server_properties["version"])


def _receiver(receiver: Receiver) -> str:
    if receiver.nginx is None:
        return "benchmarks.sink"
    said = subprocess.run([receiver.nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return said.partition(": ")[2].strip().removeprefix("nginx version: ")


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
