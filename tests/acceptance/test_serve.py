"""`pipeline serve` as people run it: one command, and what it starts, restarts and stops."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_process import ApiProcess, api_process
from tests.support.asgi_server import wait_until
from tests.support.factories import connect, make_definition, make_items
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[ApiProcess]:
    """A server with nothing set, shared by tests that do not stop it."""
    with api_process(folder, stop_seconds="2") as running:
        yield running


def submit(folder: Path) -> str:
    """Store a batch without processing it, as another program does."""
    with connect(folder, broker_url="redis://127.0.0.1:9/0") as client:
        return client.submit(make_items(3), definition=make_definition(folder)).id


def await_completion(served: ApiProcess, batch: str) -> None:
    wait_until(lambda: served.http.get(f"/v1/batches/{batch}").json()["state"] == "completed")


def test_nothing_but_the_url_is_printed(served: ApiProcess) -> None:
    assert served.ready == f"http://127.0.0.1:{served.port}"
    assert served.http.get("/ready").json() == {"database": "ok", "schema": "ok", "work": "ok", "draining": False}
    with socket.socket() as another:
        # Fails if it listens on all addresses.
        another.bind(("127.0.0.2", served.port))


def test_batches_are_processed_beside_it_also_after_that_process_was_killed(served: ApiProcess, folder: Path) -> None:
    await_completion(served, submit(folder))
    (worker,) = served.children()
    os.kill(worker, signal.SIGKILL)
    await_completion(served, submit(folder))
    assert served.children() != [worker]
    assert served.http.get("/ready").json()["work"] == "ok"
    assert any("process_died kind='work' exit_code=-9" in line for line in served.log)


def test_a_server_without_room_for_connections_recovers(served: ApiProcess) -> None:
    before = resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE)
    assert before[0] == before[1], "it takes what the system allows"
    used = len(os.listdir(f"/proc/{served.process.pid}/fd"))
    resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (used + 5, before[1]))
    held = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
    wait_until(lambda: any("connections_not_accepted" in line for line in served.log))
    for each in held:
        each.close()
    assert served.http.get("/health").status_code == 200
    resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, before)


def test_its_worker_ends_with_a_server_that_was_killed(served: ApiProcess) -> None:
    # The last test of this server.
    wait_until(lambda: len(served.children()) == 1)
    (worker,) = served.children()
    served.stop(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{worker}").exists())


def test_sigterm_stops_it_and_its_worker_and_a_second_one_at_once(tmp_path: Path) -> None:
    with api_process(tmp_path, stop_seconds="30") as served:
        wait_until(lambda: len(served.children()) == 1)
        (worker,) = served.children()
        with socket.create_connection(("127.0.0.1", served.port)) as upload:
            upload.sendall(b"POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
            served.process.send_signal(signal.SIGTERM)
            assert served.stop() == 0
        wait_until(lambda: not Path(f"/proc/{worker}").exists())


def test_several_processes_share_a_unix_socket_behind_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uds = tmp_path / "api.sock"
    words = ["--processes", "2", "--proxy", "unix", "--root-path", "/tools"]
    with api_process(tmp_path, *words, uds=uds, stop_seconds="5") as served:
        assert served.ready == f"unix:{uds}"
        assert uds.stat().st_mode & 0o777 == 0o660
        await_completion(served, submit(tmp_path))
        assert len(served.children()) == 3
        for path in ("/v1/me", "/tools/v1/me"):
            assert served.http.get(path, headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 200
        # A page behind the proxy is another site if the proxy says how it was asked for.
        forwarded = {"X-Forwarded-Proto": "https", "Origin": "http://localhost"}
        assert served.http.get("/v1/me", headers=forwarded).json()["code"] == "cross_site"
        refused = Terminal(tmp_path).run("serve", "--uds", str(uds))
        assert refused.exit_code == 2
        assert "another server listens there" in refused.stderr
        assert served.stop() == 0
        assert any("client='192.0.2.1'" in line for line in served.log)
        assert not uds.exists()


def test_it_does_not_listen_where_others_could_connect_without_a_key(terminal: Terminal) -> None:
    refused = terminal.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.exit_code == 2
    assert "make a key first: pipeline keys create ops --scope admin" in refused.stderr


def test_a_port_in_use_is_said(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = terminal.run("serve", "--port", str(port))
    assert refused.exit_code == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tls-key", __file__], "--tls-certificate and --tls-key belong together"),
        (["--proxy", "10.0.0.1/8"], "'10.0.0.1/8' is not a network"),
        (["--proxy", "unix"], "--uds, which is not given"),
        (["--root-path", "tools"], "'tools' is not a path"),
        (["--uds", __file__], "there is a file of that name"),
    ],
)
def test_options_that_cannot_be_are_refused(terminal: Terminal, words: list[str], message: str) -> None:
    refused = terminal.run("serve", *words)
    assert refused.exit_code == 2
    assert message in " ".join(refused.stderr.split())


def test_without_its_packages_it_says_what_to_install(tmp_path: Path) -> None:
    script = "import sys; sys.modules['uvicorn'] = None; from pipeline.cli import main; main(['serve'])"
    refused = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "pipeline serve needs uvicorn: pip install 'pipeline[serve]'" in refused.stderr
