"""Flower as a process of its own, asked through HTTP."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.support.terminal import Terminal

USER, PASSWORD = "ada", "lovelace:1843"
STOP_SECONDS = 20
WAIT_SECONDS = 60
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to."""

    status: int
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


class Flower:
    """A running `pipeline flower`. `said` is what it wrote before it listened."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.said = ""
        while "listens on" not in self.said:
            assert process.stderr is not None
            line = process.stderr.readline().decode()
            assert line, f"it ended: {self.said}"
            self.said += line
        self.url = self.said.rpartition("listens on ")[2].strip().rstrip("/")

    def get(self, path: str, *, user: str = USER, password: str = PASSWORD, timeout: float = 30) -> Answer:
        return self._ask(Request(self.url + path), user, password, timeout)

    def post(self, path: str, body: object = None) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        return self._ask(Request(self.url + path, data=data, method="POST"), USER, PASSWORD, 30)

    def queues(self) -> dict[str, int]:
        """The lengths of the queues."""
        return {queue["name"]: queue["messages"] for queue in self.get("/api/queues/length").json()["active_queues"]}

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Ask again and again; everything that happens is here within moments."""
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < end, self.get("/api/tasks").body
            threading.Event().wait(LOOK_SECONDS)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def _ask(self, request: Request, user: str, password: str, timeout: float) -> Answer:
        if user:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
        try:
            with urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.read().decode())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())


@contextmanager
def flower(terminal: Terminal, broker_url: str, *words: str, **environment: str) -> Iterator[Flower]:
    """Run `pipeline flower` on a free port; ADA may sign in unless the environment says otherwise."""
    given = {"PIPELINE_BROKER_URL": broker_url, "PIPELINE_FLOWER_AUTH": f"{USER}:{PASSWORD}", **environment}
    process = terminal.start("flower", "--port", "0", *words, environment={k: v for k, v in given.items() if v})
    try:
        yield Flower(process)
    finally:
        process.kill()
        process.communicate()
