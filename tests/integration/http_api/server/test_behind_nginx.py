"""nginx in front of the server, where it is installed: with the configuration in the docs, and with its defaults."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from pipeline.http_api.streaming.options import StreamOptions
from tests.support.api_process import api_process
from tests.support.asgi_server import HANG_SECONDS, wait_until
from tests.support.event_logs import write_batch
from tests.support.factories import connect
from tests.support.gateway import serving
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "how-to" / "serve-behind-a-proxy.md"
NGINX = shutil.which("nginx")


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]

#: What somebody writes who knows nothing of streams, but wants to upload.
PLAIN = """
server {
    listen 127.0.0.1:PORT;
    client_max_body_size 0;
    proxy_request_buffering off;
    location / { proxy_pass http://127.0.0.1:UPSTREAM; }
}
"""
UPLOADED_LINES = 200_000


@contextmanager
def nginx_with(folder: Path, servers: str) -> Iterator[None]:
    """Run nginx with these servers until the block ends."""
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    # Its workers give up root otherwise, and the folder of a test is for its owner alone.
    user = "user root; " if os.geteuid() == 0 else ""
    config.write_text(
        f"{user}daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\n{servers}}}"
    )
    subprocess.run([str(NGINX), "-t", "-c", str(config)], check=True, capture_output=True)
    nginx = subprocess.Popen([str(NGINX), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_until((folder / "nginx.pid").exists)
        yield
    finally:
        nginx.terminate()
        nginx.wait(HANG_SECONDS)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_the_configuration_of_nginx_serves(tmp_path: Path) -> None:
    uds, port = tmp_path / "api.sock", free_port()
    snippet = PAGE.read_text(encoding="utf-8").split("```nginx\n")[1].split("```")[0]
    assert "/run/pipeline/api.sock" in snippet
    snippet = snippet.replace("/run/pipeline/api.sock", str(uds)).replace("listen 8080;", f"listen 127.0.0.1:{port};")
    with api_process(tmp_path, "--no-work", "--proxy", "unix", uds=uds) as served:
        with nginx_with(tmp_path, snippet), httpx2.Client(timeout=HANG_SECONDS, trust_env=False) as http:
            host = {"Host": "localhost"}
            assert http.get(f"http://127.0.0.1:{port}/v1/me", headers=host).json()["name"] == "local"
            refused = http.get(f"http://127.0.0.1:{port}/v1/me", headers={"Host": "pipeline.example.com"})
            assert refused.json()["code"] == "wrong_host"
        served.stop()
        assert any("client='127.0.0.1'" in line for line in served.log)


def test_streams_and_uploads_pass_nginx_as_it_is(tmp_path: Path) -> None:
    port = free_port()
    streams = StreamOptions(heartbeat_seconds=0.2)
    with (
        connect(tmp_path) as client,
        serving(client, works=False, streams=streams) as api,
        nginx_with(tmp_path, PLAIN.replace("PORT", str(port)).replace("UPSTREAM", str(api.port))),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=HANG_SECONDS, trust_env=False) as http,
    ):
        batch = write_batch(api.context, tmp_path, 3)
        with http.stream("GET", f"/v1/batches/{batch.id}/events", headers={"Accept": "text/event-stream"}) as answer:
            lines = answer.iter_lines()
            # Before anything has happened: nothing is kept back until a buffer is full.
            assert next(lines) == "retry: 3000"
            batch.finish(1)
            assert next(line for line in lines if line.startswith("event:")) == "event: item.completed"
            # A heartbeat.
            assert next(line for line in lines if line.startswith("id:")) == "id: 1"
        definition = {"classify": {"use": "keywords", "default": "a", "rules": [{"label": "b", "any": ["c"]}]}}
        assert http.put("/v1/definitions/plain", json=definition).status_code == 201
        line = b'{"text": "' + b"x" * 90 + b'"}\n'
        sent = http.post(
            "/v1/batches?definition=plain",
            content=(line * 1_000 for _ in range(UPLOADED_LINES // 1_000)),
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert (sent.status_code, sent.json()["total"]) == (201, UPLOADED_LINES)
