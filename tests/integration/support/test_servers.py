"""Servers of the tests' own end with pytest, whatever ends pytest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import amqp
import psycopg
import pytest

from tests.support.paths import ROOT
from tests.support.servers.guard import descendants
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis, find
from tests.support.servers.server import NotAvailable, StartFailed

OWNER = """
import sys, time
from tests.support.servers.{module} import {name}
server = {name}()
server.start()
print(server.pid, server.folder, flush=True)
{then}
sys.stdin.read()
"""


def own(module: str, name: str, then: str = "") -> tuple[subprocess.Popen[str], int, Path]:
    """Start a process that starts a server; return it, the server's process id and its folder."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(module=module, name=name, then=then)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    pid, folder = owner.stdout.readline().split()
    return owner, int(pid), Path(folder)


@pytest.mark.usefixtures("postgres")
@pytest.mark.parametrize("then", ["", "server.suspend()"])
def test_a_server_and_its_folder_go_when_its_owner_is_killed(then: str) -> None:
    owner, pid, folder = own("postgres", "Postgres", then)
    with owner:
        family = descendants(pid)
        assert len(family) > 3
        assert (folder / "data").is_dir()
        owner.kill()
        # The guard holds the other end of what the owner wrote to: this reads on until the guard is done.
        assert owner.wait() == -signal.SIGKILL
    while folder.exists() or any(Path(f"/proc/{each}/fd").exists() and runs(each) for each in family):
        os.sched_yield()


def runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_server_that_was_killed_starts_again_with_what_was_committed(postgres: Postgres) -> None:
    with Postgres() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        family = descendants(server.pid)
        server.kill()
        assert not any(runs(pid) for pid in family)
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_suspended_server_does_not_answer_until_it_is_resumed(postgres: Postgres) -> None:
    postgres.suspend()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(postgres.url, connect_timeout=2)
    postgres.resume()
    psycopg.connect(postgres.url, connect_timeout=10).close()


def test_a_server_that_cannot_start_shows_its_log(redis: Redis) -> None:
    second = Redis()
    second.port = redis.port
    with pytest.raises(StartFailed, match="Address already in use"), second:
        pass
    assert not second.folder.exists()


def test_a_machine_without_the_server_is_told_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(NotAvailable, match="no `redis-server` on PATH"):
        find()


def test_a_purged_broker_has_no_messages_and_a_reset_one_no_queues(rabbitmq: RabbitMQ) -> None:
    # Confirmed: a message that is still on its way would come after the purge.
    with (
        amqp.Connection(f"127.0.0.1:{rabbitmq.port}", confirm_publish=True) as connection,
        connection.channel() as channel,
    ):
        channel.queue_declare("q", durable=True, auto_delete=False)
        channel.basic_publish(amqp.Message("m"), routing_key="q")
        rabbitmq.purge()
        assert channel.basic_get("q") is None
        rabbitmq.clear()
        with pytest.raises(amqp.NotFound):
            channel.queue_declare("q", passive=True)
