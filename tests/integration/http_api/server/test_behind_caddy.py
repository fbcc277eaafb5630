"""The configuration of Caddy in the docs, run by Caddy where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.support.api_process import HANG_SECONDS, api_process
from tests.support.asgi_server import wait_until
from tests.support.pages import blocks

PAGE = "docs/how-to/serve-behind-a-proxy.md"
CADDY = shutil.which("caddy")


@pytest.mark.slow
@pytest.mark.conformance
@pytest.mark.skipif(CADDY is None, reason="caddy is not installed")
def test_the_configuration_of_caddy_serves_and_passes_streams_on(tmp_path: Path) -> None:
    uds = tmp_path / "api.sock"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (snippet,) = (block.text for block in blocks(PAGE) if block.language == "caddyfile")
    assert "pipeline.example.com {" in snippet
    assert "/run/pipeline/api.sock" in snippet
    # Without certificates and the administration of Caddy itself, which other programs may have taken.
    site = snippet.replace("pipeline.example.com {", f"http://:{port} {{\nbind 127.0.0.1")
    config = tmp_path / "Caddyfile"
    config.write_text("{\nadmin off\n}\n" + site.replace("/run/pipeline/api.sock", str(uds)))
    words = [str(CADDY), "run", "--config", str(config), "--adapter", "caddyfile"]
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(tmp_path))
    with api_process(tmp_path, "--proxy", "unix", uds=uds) as served:
        caddy = subprocess.Popen(words, env=os.environ | homes, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(port))
            with httpx2.Client(
                base_url=url, headers={"Host": "localhost"}, timeout=HANG_SECONDS, trust_env=False
            ) as http:
                assert http.get("/v1/me").json()["name"] == "local"
                assert http.get("/v1/me", headers={"Host": "pipeline.example.com"}).json()["code"] == "wrong_host"
                # A stream that has no end: its first bytes come at once.
                with http.stream("GET", "/v1/stream") as answer:
                    assert next(answer.iter_text()).startswith("retry: 3000")
        finally:
            caddy.kill()
            caddy.wait(HANG_SECONDS)
        served.stop()
        assert any("client='127.0.0.1'" in line for line in served.log)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
