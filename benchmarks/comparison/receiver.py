"""The receiver of callbacks, the same for everyone: nginx where it is installed, else ours; both write down the ids."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.servers.server import Server

_CONFIGURATION = """
worker_processes 1;
daemon off;
user root;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    log_format ids $http_webhook_id;
    access_log {folder}/ids ids;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ return 204; }}
    }}
}}
"""


class Receiver(Server):
    """Answers 204 and remembers the webhook id of every request."""

    name = "receiver"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def nginx(self) -> str | None:
        """The program, where it is installed."""
        return shutil.which("nginx")

    def _launch(self) -> None:
        self._read = 0
        self._ids: list[str] = []
        if self.nginx is None:
            options = ("--port", str(self.port), "--ids", self._file)
            self._spawn([sys.executable, "-m", "benchmarks.sink", *options], environment={"PYTHONPATH": str(ROOT)})
            return
        configuration = self.folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(folder=self.folder, port=self.port))
        self._spawn([self.nginx, "-c", configuration, "-p", self.folder, "-e", "stderr"])

    def _probe(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=2):
            pass

    @property
    def _file(self) -> Path:
        return self.folder / "ids"

    def forget(self) -> None:
        """Begin anew with no request."""
        self.ids()
        self._ids = []

    def ids(self) -> list[str]:
        """Return the webhook ids of the requests since `forget`, in the order of the answers."""
        if self._file.exists():
            with self._file.open("rb") as file:
                file.seek(self._read)
                # The last line may be half written.
                whole = file.read().rpartition(b"\n")
            self._read += len(whole[0]) + len(whole[1])
            self._ids += [line.decode(errors="replace") for line in whole[0].split(b"\n")] if whole[1] else []
        return self._ids
