"""What reading over HTTP costs and how late events arrive, beside the way by hand.

python -m benchmarks.gateway_reading [--database sqlite|postgresql] [--readers 1000] [--seconds 10] [--json FILE]
"""

from __future__ import annotations

import asyncio
import http.client
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

import pipeline
from benchmarks.figures import Figures, json_option, share, write
from pipeline.context import Context
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import client_context
from tests.support.servers.postgres import Postgres

#: Until the readers of a measurement are all connected and at rest.
SETTLE_SECONDS = 2.0
LONGEST_SETTLE_SECONDS = 20.0
DOWNLOADED = 100_000
_TICKS = 100.0
_PAGE_BYTES = 4096


@dataclass
class EventServer:
    """A running server and what its process has used."""

    kind: str
    port: int
    process: subprocess.Popen[str]
    counter: Path

    def path(self, batch: WrittenBatch, what: str) -> str:
        """Return the path of a batch, which the way by hand names by its row."""
        return f"/v1/batches/{batch.id if self.kind == 'ours' else batch.row_id}/{what}"

    def statements(self) -> int:
        found: int = struct.unpack("<q", self.counter.read_bytes())[0]
        return found

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@contextmanager
def running(kind: str, url: str, folder: Path) -> Iterator[EventServer]:
    """Run a server until the block ends."""
    counter = folder / f"{kind}.count"
    command = [sys.executable, "-m", "benchmarks.event_server", kind, url, str(counter)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield EventServer(kind, int(process.stdout.readline()), process, counter)
        finally:
            process.kill()


class Readers:
    """Connections that read server-sent events, on an event loop in a thread."""

    def __init__(self, server: EventServer, path: str, number: int, committed: dict[int, float]) -> None:
        self._server, self._path, self._number, self._committed = server, path, number, committed
        self.lags: list[float] = []
        self._stop: asyncio.Event | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Readers:
        self._thread.start()
        self._ready.wait()
        # Until all of them have what was there before, or keep on asking for it.
        used, end = self._server.processor_seconds(), time.monotonic() + LONGEST_SETTLE_SECONDS
        while time.monotonic() < end:
            time.sleep(SETTLE_SECONDS)
            before, used = used, self._server.processor_seconds()
            if used - before < 0.1 * SETTLE_SECONDS:
                break
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        headers = f"Host: 127.0.0.1:{self._server.port}\r\nAccept: text/event-stream"
        request = f"GET {self._path} HTTP/1.1\r\n{headers}\r\n\r\n".encode()
        transports = []
        for _ in range(self._number):
            made = await self._loop.create_connection(lambda: Reading(self), "127.0.0.1", self._server.port)
            made[0].write(request)
            transports.append(made[0])
        self._ready.set()
        await self._stop.wait()
        for transport in transports:
            transport.abort()

    def note(self, seq: int) -> None:
        """Note that an event has come."""
        if seq in self._committed:
            self.lags.append(time.monotonic() - self._committed[seq])


class Reading(asyncio.BufferedProtocol):
    """One connection. It reads into the buffer that all of them share, and looks at the first event in there."""

    _shared = bytearray(2**18)

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._shared

    def buffer_updated(self, nbytes: int) -> None:
        # The oldest event of what came together: the one that waited longest.
        start = self._shared.find(b"id: ", 0, nbytes)
        number = self._shared[start + 4 : self._shared.find(b"\n", start)]
        if start >= 0 and number.isdigit():
            self._readers.note(int(number))


def finish_steadily(batch: WrittenBatch, committed: dict[int, float], per_second: int, seconds: float) -> None:
    """Finish items of a batch, so many per second, and note when each was committed."""
    each, start = max(1, per_second // 50), time.monotonic()
    for step in range(round(seconds * per_second / each)):
        time.sleep(max(0.0, start + step * each / per_second - time.monotonic()))
        batch.finish(each)
        now = time.monotonic()
        committed.update(dict.fromkeys(range(batch.finished - each + 1, batch.finished + 1), now))


def measure_following(
    figures: Figures, context: Context, server: EventServer, folder: Path, *, readers: int, rate: int, seconds: float
) -> None:
    """Print how late events arrive at readers of one batch, and what that costs."""
    batch = write_batch(context, folder, round(rate * seconds) + 1_000)
    committed: dict[int, float] = {}
    with Readers(server, server.path(batch, "events"), readers, committed) as reading:
        before = server.processor_seconds(), server.statements(), time.monotonic()
        finish_steadily(batch, committed, rate, seconds)
        took = time.monotonic() - before[2]
        used = (server.processor_seconds() - before[0]) / took
        statements = (server.statements() - before[1]) / took
        time.sleep(SETTLE_SECONDS)
        memory = server.memory_bytes() / 2**20
    lags = reading.lags or [float("inf")]
    name = f"{server.kind}, {readers} readers, {rate}/s"
    figures.add(name, share(lags, 0.5) * 1000, share(lags, 0.95) * 1000, used * 100, statements, memory)


def measure_idling(figures: Figures, context: Context, server: EventServer, folder: Path, *, readers: int) -> None:
    """Print what readers cost that wait for a batch in which nothing happens."""
    batch = write_batch(context, folder, 10)
    empty = server.memory_bytes()
    with Readers(server, server.path(batch, "events"), readers, {}):
        before = server.processor_seconds(), server.statements(), time.monotonic()
        time.sleep(5)
        took = time.monotonic() - before[2]
        used = (server.processor_seconds() - before[0]) / took
        statements = (server.statements() - before[1]) / took
        each = (server.memory_bytes() - empty) / readers / 1024
    figures.add(f"{server.kind}, {readers} idle readers", used * 100, statements, each)


def measure_download(figures: Figures, server: EventServer, batch: WrittenBatch) -> None:
    """Print how long it takes to read all results of a batch, and how much memory that takes."""
    before, start = server.memory_bytes(), time.monotonic()
    most = before
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    if server.kind == "ours":
        connection.request("GET", server.path(batch, "results?format=ndjson"))
        answer, lines = connection.getresponse(), 0
        while chunk := answer.read(2**20):
            lines += chunk.count(b"\n")
            most = max(most, server.memory_bytes())
        assert lines == batch.total, lines
    else:
        for offset in range(0, batch.total, 100):
            connection.request("GET", server.path(batch, f"results?offset={offset}&limit=100"))
            connection.getresponse().read()
            most = max(most, server.memory_bytes())
    figures.add(f"{server.kind}, {batch.total:,} results", time.monotonic() - start, (most - before) / 2**20)


def tables() -> tuple[Figures, Figures, Figures]:
    """Return the tables of following, idling and downloading."""
    return (
        Figures("following", {"p50 ms": ".0f", "p95 ms": ".0f", "core %": ".0f", "stmt/s": ".0f", "MiB": ".0f"}),
        Figures("idling", {"core %": ".1f", "stmt/s": ".0f", "KiB each": ".1f"}),
        Figures("download", {"seconds": ".2f", "MiB more": ".0f"}),
    )


def write_large(context: Context, folder: Path) -> WrittenBatch:
    """Return a batch whose items have all finished."""
    large = write_batch(context, folder, DOWNLOADED)
    while large.finished < large.total:
        large.finish(5_000)
    return large


@click.command()
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="postgresql", show_default=True)
@click.option("--readers", default=1_000, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of each measurement of lag.")
@json_option
def main(database: str, readers: int, seconds: float, json_file: Path | None) -> None:
    """Measure reading over HTTP, ours and by hand."""
    following, idling, download = tables()
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name, at_url(database, Path(name)) as url:
        folder = Path(name)
        with pipeline.connect(database_url=url) as client:
            context = client_context(client)
            large = write_large(context, folder)
            for kind in ("ours", "by-hand"):
                with running(kind, url, folder) as server:
                    measure_download(download, server, large)
                with running(kind, url, folder) as server:
                    measure_idling(idling, context, server, folder, readers=readers)
                for number, rate in ((1, 100), (readers, 200)):
                    with running(kind, url, folder) as server:
                        measure_following(
                            following, context, server, folder, readers=number, rate=rate, seconds=seconds
                        )
    write(json_file, following, idling, download)


@contextmanager
def at_url(database: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database."""
    if database == "sqlite":
        yield f"sqlite:///{folder / 'pipeline.db'}"
        return
    with Postgres() as postgres:
        yield postgres.database()


if __name__ == "__main__":
    main()
