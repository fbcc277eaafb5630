"""`pipeline serve` as it runs: how fast it is ready, answers, and classifies, and what its readers cost the engine.

python -m benchmarks.gateway_service [--database sqlite|postgresql] [--json FILE]
"""

from __future__ import annotations

import asyncio
import http.client
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click
import orjson

import pipeline
from benchmarks.figures import Figures, json_option, share, write
from benchmarks.gateway_reading import EventServer, at_url, running
from tests.support.api_process import api_process
from tests.support.event_logs import write_batch
from tests.support.factories import client_context

CONNECTIONS = 64
DEFINITION = """
name = "benchmark"
input = { text = "text" }
classify = { use = "keywords", default = "other", rules = [{ label = "billing", any = ["invoice"] }] }
"""
_JSON = {"Content-Type": "application/json"}


class Answers:
    """Connections that ask for one path again and again.

    Args:
        lags: seconds that each answer took.
    """

    def __init__(self, port: int, path: str) -> None:
        self._port, self._path = port, path
        self.lags: list[float] = []

    def ask(self, connections: int, seconds: float) -> float:
        """Ask by so many connections at once for a while, and return the answers per second."""
        return asyncio.run(self._ask(connections, seconds))

    async def _ask(self, connections: int, seconds: float) -> float:
        start = time.monotonic()
        await asyncio.gather(*(self._ask_one(start + seconds) for _ in range(connections)))
        return len(self.lags) / (time.monotonic() - start)

    async def _ask_one(self, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        request = f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode()
        while (begun := time.monotonic()) < end:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise click.ClickException(f"{self._path} was answered with {head[:60]!r}")
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            self.lags.append(time.monotonic() - begun)
        writer.close()


def measure_answers(figures: Figures, server: EventServer, path: str, seconds: float) -> tuple[float, float]:
    """Print how many questions for a batch are answered, and return that and the 95th percentile in ms."""
    asked = Answers(server.port, path)
    rate = asked.ask(CONNECTIONS, seconds)
    late = share(asked.lags, 0.95) * 1000
    figures.add(f"{server.kind}, {CONNECTIONS} connections", rate, share(asked.lags, 0.5) * 1000, late)
    return rate, late


def classify(port: int, times: int) -> list[float]:
    """Return how long so many items took that were classified one after the other, in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = orjson.dumps({"definition": "benchmark", "payload": {"text": "an invoice"}, "wait": 20})
    lags = []
    for _ in range(times):
        begun = time.monotonic()
        connection.request("POST", "/v1/classify", body, _JSON)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise click.ClickException(f"an item was answered with {answer.status}: {content[:200]!r}")
        lags.append(time.monotonic() - begun)
    connection.close()
    return lags


def warm_up(port: int) -> None:
    """Have a first item classified: the process beside the server needs a while to start."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            classify(port, 1)
        except click.ClickException:
            continue
        return


def submit(port: int, items: int) -> str:
    """Submit so many items and return the id of their batch."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    body = b"".join(b'{"text": "text number %d with an invoice"}\n' % number for number in range(items))
    connection.request("POST", "/v1/batches?definition=benchmark", body, {"Content-Type": "application/x-ndjson"})
    answer = orjson.loads(connection.getresponse().read())
    connection.close()
    return str(answer["batch_id"])


def finished_in(port: int, batch: str) -> float:
    """Wait for the end of a batch, and return for how many seconds its items ran."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while True:
        connection.request("GET", f"/v1/batches/{batch}")
        found = orjson.loads(connection.getresponse().read())
        if found["is_complete"]:
            begun, ended = (seconds_of(found[name]) for name in ("started_at", "completed_at"))
            return ended - begun
        time.sleep(0.2)


def seconds_of(text: str) -> float:
    """Return the seconds of an instant."""
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def streams(port: int, path: str, number: int) -> Iterator[None]:
    """Read a stream by so many connections until the block ends."""
    stop = threading.Event()

    async def read() -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(number)]
        for _, writer in opened:
            writer.write(request)
        tasks = [asyncio.create_task(_drain(reader)) for reader, _ in opened]
        while not stop.is_set():
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(asyncio.run, read())
        yield
        stop.set()
        done.result()


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**18):
        pass


def measure_service(figures: Figures, folder: Path, url: str, *, items: int) -> dict[str, float]:
    """Print what `pipeline serve` does as it runs with its own worker; return the figures by number."""
    (folder / "benchmark.toml").write_text(DEFINITION)
    found: dict[str, float] = {}
    ready = []
    for _ in range(3):
        begun = time.monotonic()
        with api_process(folder, database_url=url):
            ready.append(time.monotonic() - begun)
    found["ready"] = sorted(ready)[1]
    figures.add("ready, seconds", found["ready"])
    with api_process(folder, database_url=url) as served:
        warm_up(served.port)
        found["alone"] = share(classify(served.port, 60), 0.95) * 1000
        figures.add("classify, p95 ms", found["alone"])
        busy = submit(served.port, items)
        found["beside"] = share(classify(served.port, 30), 0.95) * 1000
        figures.add("classify beside a batch, p95", found["beside"])
        finished_in(served.port, busy)
        rates: dict[int, list[float]] = {}
        for readers in (0, 100, 0, 100):
            batch = submit(served.port, items)
            with streams(served.port, f"/v1/batches/{batch}/events", readers):
                rates.setdefault(readers, []).append(items / finished_in(served.port, batch))
            figures.add(f"items/s, {readers} readers", rates[readers][-1])
        found["cost"] = max(rates[100]) / max(rates[0])
        figures.add("with 100 readers / with none", found["cost"])
    return found


@click.command()
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--items", default=20_000, show_default=True, help="Of a batch that runs.")
@click.option("--seconds", default=5.0, show_default=True, help="Of each measurement of answers.")
@json_option
def main(database: str, items: int, seconds: float, json_file: Path | None) -> None:
    """Measure `pipeline serve`: N7 to N10."""
    answers = Figures("answers", {"per s": ".0f", "p50 ms": ".1f", "p95 ms": ".1f"})
    service = Figures("service", {"figure": ".2f"})
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name, at_url(database, Path(name)) as url:
        folder = Path(name)
        with pipeline.connect(database_url=url) as client:
            batch = write_batch(client_context(client), folder, 1_000)
            batch.finish(500)
            for kind in ("ours", "by-hand"):
                with running(kind, url, folder) as server:
                    measure_answers(answers, server, server.path(batch, "").rstrip("/"), seconds)
        measure_service(service, folder, url, items=items)
    write(json_file, answers, service)


if __name__ == "__main__":
    main()
