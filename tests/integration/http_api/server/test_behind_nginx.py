"""The configuration of nginx in the docs, run by nginx where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.support.api_process import api_process
from tests.support.asgi_server import HANG_SECONDS, wait_until
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "how-to" / "serve-behind-a-proxy.md"
NGINX = shutil.which("nginx")


@pytest.mark.slow
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_the_configuration_of_nginx_serves(tmp_path: Path) -> None:
    uds = tmp_path / "api.sock"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    snippet = PAGE.read_text(encoding="utf-8").split("```nginx\n")[1].split("```")[0]
    assert "/run/pipeline/api.sock" in snippet
    snippet = snippet.replace("/run/pipeline/api.sock", str(uds)).replace("listen 8080;", f"listen 127.0.0.1:{port};")
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    # Its workers give up root otherwise, and the folder of a test is for its owner alone.
    user = "user root; " if os.geteuid() == 0 else ""
    config.write_text(
        f"{user}daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\n{snippet}}}"
    )
    with api_process(tmp_path, "--no-work", "--proxy", "unix", uds=uds) as served:
        subprocess.run([str(NGINX), "-t", "-c", str(config)], check=True, capture_output=True)
        nginx = subprocess.Popen([str(NGINX), "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            wait_until((tmp_path / "nginx.pid").exists)
            with httpx2.Client(timeout=HANG_SECONDS, trust_env=False) as http:
                host = {"Host": "localhost"}
                assert http.get(f"http://127.0.0.1:{port}/v1/me", headers=host).json()["name"] == "local"
                refused = http.get(f"http://127.0.0.1:{port}/v1/me", headers={"Host": "pipeline.example.com"})
                assert refused.json()["code"] == "wrong_host"
        finally:
            nginx.terminate()
            nginx.wait(HANG_SECONDS)
        served.stop()
        assert any("client='127.0.0.1'" in line for line in served.log)
