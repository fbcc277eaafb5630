"""`pipeline serve` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.support.paths import ROOT
from tests.support.servers.warm_process import start_python

HANG_SECONDS = 60.0


class ApiProcess:
    """A server that was started on the database of a folder.

    Args:
        ready: what it printed when it was ready.
    """

    def __init__(self, process: subprocess.Popen[str], ready: str, http: httpx2.Client) -> None:
        self.process, self.ready, self.http = process, ready, http
        self.log: list[str] = []
        # Read all the time: a full pipe would stop the server.
        assert process.stderr is not None
        self._reader = threading.Thread(target=lambda: self.log.extend(process.stderr or ()), daemon=True)
        self._reader.start()

    @property
    def port(self) -> int:
        return int(self.ready.rpartition(":")[2])

    def children(self) -> list[int]:
        """Return the ids of the processes that it has started and that run."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children") if listed.exists() else ()
        return [int(child) for thread in threads for child in thread.read_text().split()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(HANG_SECONDS)
        self._reader.join(HANG_SECONDS)
        return code


@contextmanager
def api_process(folder: Path, *words: str, uds: Path | None = None, **settings: str) -> Iterator[ApiProcess]:
    """Run `pipeline serve` until the block ends.

    Args:
        settings: by their names in the environment, `PIPELINE_` left out.
    """
    environment = {f"PIPELINE_{name.upper()}": value for name, value in settings.items()}
    where = ["--port", "0"] if uds is None else ["--uds", str(uds)]
    process = start_python(
        ["-m", "pipeline", "serve", *where, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PIPELINE_DATABASE_URL": "sqlite:///pipeline.db", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready = process.stdout.readline().strip()
        assert ready, process.communicate()[1]
        transport = None if uds is None else httpx2.HTTPTransport(uds=str(uds))
        url = ready if uds is None else "http://localhost"
        with httpx2.Client(base_url=url, transport=transport, timeout=HANG_SECONDS, trust_env=False) as http:
            running = ApiProcess(process, ready, http)
            yield running
            if process.poll() is None:
                running.stop()
    finally:
        process.kill()
        process.communicate()
