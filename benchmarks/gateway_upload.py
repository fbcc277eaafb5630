"""The HTTP API: how fast it takes a file in, next to `client.submit`, and how much memory of the server that takes.

python -m benchmarks.gateway_upload [--items 100000] [--rounds 5] [--large 1000000] [--on sqlite] [--json FILE]
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import orjson

import pipeline
from benchmarks.figures import Figures, json_option, write
from benchmarks.growth import generate
from benchmarks.processes import status_of
from benchmarks.stand import DEFINITION
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.definitions import load_definition
from tests.support.factories import client_context
from tests.support.paths import ROOT
from tests.support.servers.postgres import Postgres

PARTS = 16
#: Parts sent at once: more would wait for a thread of the server.
AT_ONCE = 4
BOMB_BYTES = 1024 * 1024 * 1024
_NDJSON = {"Content-Type": "application/x-ndjson"}
#: A broker that nobody listens at: nothing works on what is submitted.
_NO_BROKER = "redis://127.0.0.1:1/0"

_SERVER = """
import sys
import pipeline
from pathlib import Path
from tests.support.gateway import serving

with pipeline.connect(definitions=Path.cwd()) as client, serving(client, works=False) as api:
    print(api.port, flush=True)
    sys.stdin.read()
"""


@click.command()
@click.option("--items", default=100_000, show_default=True, help="Items whose time is measured.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--large", default=1_000_000, show_default=True, help="Items by which memory is measured; 0: none.")
@click.option("--on", "kind", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
@json_option
def main(items: int, rounds: int, large: int, kind: str, json_file: Path | None) -> None:
    """Measure uploads to a server in a separate process; nothing works on the batches."""
    figures = table()
    measure_uploads(figures, kind, items=items, rounds=rounds, large=large)
    write(json_file, figures)


def table() -> Figures:
    """Return the table of uploads."""
    return Figures("what", {"seconds": ".2f", "ratio": ".2f", "growth, MiB": ",.0f"})


def measure_uploads(figures: Figures, kind: str, *, items: int, rounds: int, large: int) -> None:
    """Print how long uploads take next to `client.submit`, and how much memory of the server they take."""
    with _database(kind) as (folder, url), _server(folder, url) as (process, port):
        file = generate(folder / "items.jsonl", items)
        _upload(port, file)
        with pipeline.connect(database_url=url, broker_url=_NO_BROKER) as client:
            direct = [_timed(lambda: _submit(client, folder, file)) for _ in range(rounds)]
        figures.add("client.submit", statistics.median(direct), 1, 0)
        _measure(figures, process, "upload", rounds, lambda: _upload(port, file), statistics.median(direct))
        if large:
            big = generate(folder / "large.jsonl", large)
            _measure(figures, process, f"upload of {large:,}", 1, lambda: _upload(port, big))
            _measure(figures, process, f"the same in {PARTS} parts", 1, lambda: _upload_parts(port, big, large))
            _measure(figures, process, "one line of 1 GiB, gzip", 1, lambda: _upload_bomb(port))


@contextmanager
def _database(kind: str) -> Iterator[tuple[Path, str]]:
    """Yield a folder with a definition, and the URL of an empty database of the newest version."""
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name:
        folder = Path(name)
        (folder / "benchmark.toml").write_text(DEFINITION)
        if kind == "sqlite":
            url = f"sqlite:///{folder}/pipeline.db"
            pipeline.connect(database_url=url).close()
            yield folder, url
            return
        with Postgres() as server:
            url = server.database()
            environment = os.environ | {"PIPELINE_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, "-m", "pipeline", "db", "upgrade"], env=environment, check=True)
            yield folder, url


@contextmanager
def _server(folder: Path, url: str) -> Iterator[tuple[int, int]]:
    """Run a server, and yield its process id and its port."""
    environment = {"PIPELINE_DATABASE_URL": url, "PIPELINE_BROKER_URL": _NO_BROKER, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        yield running.pid, int(running.stdout.readline())
        running.stdin.close()


def _measure(
    figures: Figures, process: int, what: str, rounds: int, run: Callable[[], object], against: float | None = None
) -> None:
    """Print the median time of a run, and how far the server's memory grew beyond what it was."""
    # Clears the peak.
    Path(f"/proc/{process}/clear_refs").write_text("5")
    before = status_of(process, "VmRSS")
    seconds = statistics.median(_timed(run) for _ in range(rounds))
    figures.add(what, seconds, seconds / (against or seconds), status_of(process, "VmHWM") - before)


def _timed(run: Callable[[], object]) -> float:
    started = time.monotonic()
    run()
    return time.monotonic() - started


def _submit(client: pipeline.Client, folder: Path, file: Path) -> None:
    """Do what `client.submit` does, but wake nobody: there is no broker."""
    submission = Submission(load_definition(folder / "benchmark.toml"))
    with file.open("rb") as lines:
        submit(client_context(client), map(orjson.loads, lines), submission)


def _upload(port: int, file: Path) -> None:
    with file.open("rb") as body:
        headers = _NDJSON | {"Content-Length": str(file.stat().st_size)}
        _request(port, "POST", "/v1/batches?definition=benchmark", body, headers, 201)


def _upload_parts(port: int, file: Path, items: int) -> None:
    opened = json.dumps({"definition": "benchmark", "parts": True}).encode()
    batch = _request(port, "POST", "/v1/batches", opened, {"Content-Type": "application/json"}, 201)["batch_id"]
    lines = file.read_bytes().splitlines(keepends=True)
    size = -(-items // PARTS)

    def put(number: int) -> None:
        body = b"".join(lines[(number - 1) * size : number * size])
        _request(port, "PUT", f"/v1/batches/{batch}/parts/{number}", body, _NDJSON, 201)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(put, range(1, PARTS + 1)))
    sealed = json.dumps({"parts": PARTS, "items": items}).encode()
    _request(port, "POST", f"/v1/batches/{batch}/seal", sealed, {"Content-Type": "application/json"}, 200)


def _upload_bomb(port: int) -> None:
    body = gzip.compress(b'{"text": "' + b"x" * BOMB_BYTES)
    _request(port, "POST", "/v1/batches?definition=benchmark", body, _NDJSON | {"Content-Encoding": "gzip"}, 422)


def _request(port: int, method: str, path: str, body: Any, headers: dict[str, str], expected: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content: dict[str, Any] = orjson.loads(answer.read())
    connection.close()
    if answer.status != expected:
        raise click.ClickException(f"{method} {path} was answered with {answer.status}: {content}")
    return content


if __name__ == "__main__":
    main()
