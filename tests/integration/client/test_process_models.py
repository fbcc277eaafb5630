"""Clients under the servers, pools and notebooks that start processes in their own ways: submit, follow and close."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import reader_environment
from tests.support.servers.redis import Redis
from tests.support.servers.server import free_port
from tests.support.servers.warm_process import run_python, start_python
from tests.support.servers.worker import Cluster, wait_for

pytestmark = pytest.mark.slow

SECONDS = 90
PROGRAMS = Path(__file__).parent / "programs"


class Site:
    """A folder with programs, and the settings with which they run."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.environment = reader_environment() | settings | {"HOME": str(folder)}
        self.environment["PYTHONPATH"] += f":{folder}"
        for program in PROGRAMS.glob("*.py"):
            (folder / program.name).write_text(program.read_text(encoding="utf-8"), encoding="utf-8")

    def run(self, *words: str) -> Any:
        """Run a program to its end, and return the JSON that it prints last. It must say nothing else."""
        return self._said(run_python(words, **self._place))

    def run_fresh(self, *words: str) -> Any:
        """Run a program that starts processes itself, in an interpreter that is no fork."""
        return self._said(subprocess.run([sys.executable, *words], **self._place, capture_output=True, check=False))

    @property
    def _place(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environment, "text": True, "timeout": SECONDS}

    @staticmethod
    def _said(done: subprocess.CompletedProcess[str]) -> Any:
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def serving(self, *words: str, port: int) -> Iterator[None]:
        """Run a server until the block ends; it must end in good order."""
        with (self.folder / "log").open("wb") as log:
            server = start_python(["-m", *words], cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        try:
            wait_for(lambda: server.poll() is not None or is_listening(port), SECONDS)
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(SECONDS)
        said = (self.folder / "log").read_text()
        assert server.returncode in (0, -signal.SIGTERM), said
        assert "Traceback" not in said, said
        assert "rror" not in said, said


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Embedded workers, on SQLite."""
    return Site(tmp_path, {"PIPELINE_DATABASE_URL": f"sqlite:///{tmp_path / 'pipeline.db'}"})


@pytest.fixture
def shared_site(redis: Redis, postgresql_url: str, tmp_path: Path) -> Iterator[Site]:
    """PostgreSQL and Redis, with a worker elsewhere: a fork would share their connections."""
    redis.clear()
    with Cluster(tmp_path, postgresql_url, redis.url) as cluster:
        site = Site(tmp_path, cluster.environment)
        cluster.worker()
        yield site


def is_listening(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def submit(port: int) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("POST", "/batches")
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        found: dict[str, Any] = json.loads(answer.read())
        return found
    finally:
        connection.close()


def assert_served(site: Site, *words: str, bind: str) -> None:
    """Serve an application from two processes, which take batches at once and follow them."""
    port = free_port()
    answers: list[dict[str, Any]] = []
    end = time.monotonic() + SECONDS
    with site.serving(*words, bind.format(port), port=port), ThreadPoolExecutor(8) as threads:
        # The kernel chooses who accepts a connection, and one of the two may not have started yet.
        while len({answer["process"] for answer in answers}) < 2 and time.monotonic() < end:
            answers += threads.map(lambda _: submit(port), range(16))
    assert len({answer["process"] for answer in answers}) == 2
    assert len({answer["batch"] for answer in answers}) == len(answers)
    assert {answer["seen"] for answer in answers} == {20}


GUNICORN = ["gunicorn", "--preload", "--workers", "2", "--threads", "4", "preloaded:app"]


def test_a_client_that_gunicorn_preloads_serves_every_worker(site: Site) -> None:
    assert_served(site, *GUNICORN, bind="--bind=127.0.0.1:{}")


def test_a_client_that_gunicorn_preloads_shares_no_connections(shared_site: Site) -> None:
    assert_served(shared_site, *GUNICORN, bind="--bind=127.0.0.1:{}")


def test_a_client_of_the_module_serves_every_worker_of_uvicorn(site: Site) -> None:
    assert_served(site, "uvicorn", "--workers", "2", "asynchronous:app", bind="--port={}")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_client_works_in_processes_and_pools_beside_the_parent(site: Site, method: str) -> None:
    ids = site.run_fresh("pools.py", method)
    assert len(ids) == len(set(ids)) == 7


def test_processes_and_pools_of_forks_share_no_connections(shared_site: Site) -> None:
    ids = shared_site.run_fresh("pools.py", "fork")
    assert len(ids) == len(set(ids)) == 7


def test_a_cell_that_connects_is_run_twice_and_both_clients_work(site: Site) -> None:
    pytest.importorskip("IPython")
    ids = site.run("notebook.py")
    assert len(ids) == len(set(ids)) == 4


@pytest.mark.parametrize("how", ["interrupt", "tasks"])
def test_a_program_that_ends_without_closing_loses_nothing(site: Site, how: str) -> None:
    batch = site.run("leaving.py", how)
    (site.folder / "gate").touch()
    assert site.run("finishing.py", batch) == 50
