"""What happens to databases: they restart, hang, end connections, are locked, and take nothing more."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from random import Random

from tests.faults.fault import Faults, every, last
from tests.faults.site import EMBEDDED, RABBITMQ, REDIS, Site
from tests.support.servers.postgres import Postgres

fault = Faults("database")


@fault(REDIS, RABBITMQ, seconds=0.5, longest=20)
def postgresql_restarts(site: Site, random: Random, seconds: float) -> None:
    server = _postgres(site)
    server.stop()
    last(seconds)
    server.start()


@fault(REDIS, RABBITMQ, seconds=0.5, longest=10)
def postgresql_is_killed(site: Site, random: Random, seconds: float) -> None:
    server = _postgres(site)
    server.kill()
    last(seconds)
    server.start()


@fault(REDIS, RABBITMQ, seconds=2, longest=10)
def postgresql_ends_all_connections(site: Site, random: Random, seconds: float) -> None:
    for _ in every(0.2, seconds):
        _postgres(site).terminate(site.database_url)


@fault(REDIS, RABBITMQ, seconds=5, longest=20)
def postgresql_hangs(site: Site, random: Random, seconds: float) -> None:
    server = _postgres(site)
    server.suspend()
    last(seconds)
    server.resume()


@fault(EMBEDDED, seconds=5, longest=40)
def the_file_is_locked(site: Site, random: Random, seconds: float) -> None:
    with closing(sqlite3.connect(site.file, timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        last(seconds)
        other.execute("ROLLBACK")


@fault(EMBEDDED, seconds=4, longest=20)
def the_disk_takes_nothing_more(site: Site, random: Random, seconds: float) -> None:
    site.limit_files(0)
    last(seconds)
    site.limit_files(-1)


def _postgres(site: Site) -> Postgres:
    assert site.postgres is not None
    return site.postgres
