"""Readers whose connections are cut at random while a batch runs: each gets exactly the log, in order, once."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx2
import orjson
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_socket

import pipeline
from pipeline.database.retry import retrying
from pipeline.domain.item import ItemState
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.gateway import HANG_SECONDS, ServedApi, serving, wait_for_readers
from tests.support.servers.postgres import Postgres

#: A fifth of what the long form has: `CUT_READER_ITEMS=10000`.
ITEMS, CUTS = int(os.environ.get("CUT_READER_ITEMS", "2000")), 20
#: Bytes after which a connection is cut: in the head of an answer, within a result, and after many.
CUT_BYTES = (1, 400_000)


@pytest.fixture
def api(database_url: str) -> Iterator[ServedApi]:
    """A server without a worker, on each kind of database."""
    with pipeline.connect(database_url=database_url) as client, serving(client, works=False) as served:
        yield served


def test_cut_readers_get_exactly_the_log(api: ServedApi, tmp_path: Path) -> None:
    batch = write_batch(api.context, tmp_path, ITEMS)
    writing = threading.Thread(target=write, args=(batch, random.Random(1)))
    with ThreadPoolExecutor() as pool:
        reads = [pool.submit(read_to_the_end, api, batch, way, random.Random(seed)) for seed, way in enumerate(WAYS)]
        writing.start()
        found = [each.result(HANG_SECONDS) for each in reads]
    writing.join()
    results, log = list(range(1, ITEMS + 1)), list(range(1, ITEMS + 2))
    assert found == [results, results, log, log]


def test_streams_outlive_a_restart_of_the_database(postgres: Postgres, postgresql_url: str, tmp_path: Path) -> None:
    with pipeline.connect(database_url=postgresql_url) as client, serving(client, works=False) as api:
        batch = write_batch(api.context, tmp_path, 30)
        batch.finish(10)
        with ThreadPoolExecutor() as pool:
            reads = [pool.submit(way, api, batch.id, 0, 10**9) for way in (read_lines, read_stream, read_socket)]
            wait_for_readers(api, 3)
            for _ in range(2):
                postgres.restart()
                # Its connections broke, too.
                retrying(lambda: batch.finish(10), patience=timedelta(seconds=HANG_SECONDS))
            found = [each.result(HANG_SECONDS) for each in reads]
    assert found == [(list(range(1, last + 1)), True) for last in (30, 31, 31)]


def write(batch: WrittenBatch, chance: random.Random) -> None:
    while batch.finished < batch.total:
        number = min(chance.randint(1, 60), batch.total - batch.finished)
        batch.finish(number, chance.choice([ItemState.SUCCEEDED, ItemState.DEAD]))


def read_to_the_end(api: ServedApi, batch: WrittenBatch, way: Way, chance: random.Random) -> list[int]:
    """Read a log over connections of which the first ones are cut."""
    found: list[int] = []
    cuts = 0
    while True:
        budget = chance.randint(*CUT_BYTES) if cuts < CUTS else 10**9
        after = found[-1] if found else 0
        seen, is_end = way(api, batch.id, after, budget)
        found += seen
        if is_end and cuts >= CUTS:
            return found
        # A reader that was not cut because it had read everything reads everything again, over cut connections.
        if is_end:
            found = []
        cuts += 1


def read_page(api: ServedApi, batch: str, after: int, budget: int) -> tuple[list[int], bool]:
    body = received(api, f"/v1/batches/{batch}/results?after={after}&limit=300&wait=5", {}, budget)
    try:
        page = orjson.loads(body)
    except orjson.JSONDecodeError:
        return [], False
    return [each["seq"] for each in page["data"]], page["is_complete"] and not page["has_more"]


def read_lines(api: ServedApi, batch: str, after: int, budget: int) -> tuple[list[int], bool]:
    body = received(api, f"/v1/batches/{batch}/results?after={after}&follow=true&end=true", {}, budget)
    lines = [orjson.loads(line) for line in body[: body.rfind(b"\n") + 1].splitlines() if line]
    return [each["seq"] for each in lines if "seq" in each], any("end" in each for each in lines)


def read_stream(api: ServedApi, batch: str, after: int, budget: int) -> tuple[list[int], bool]:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    body = received(api, f"/v1/batches/{batch}/events", headers, budget)
    blocks = body[: body.rfind(b"\n\n") + 2].split(b"\n\n")
    seqs = [
        int(block.split(b"\n")[0].removeprefix(b"id: "))
        for block in blocks
        if block.startswith(b"id:") and b"data:" in block
    ]
    return seqs, any(block.startswith(b"event: end") for block in blocks)


def read_socket(api: ServedApi, batch: str, after: int, budget: int) -> tuple[list[int], bool]:
    found: list[int] = []
    url = api.url.replace("http:", "ws:") + "/v1/ws"
    with connect_socket(url, subprotocols=["pipeline.v1"], proxy=None) as socket:  # type: ignore[list-item]
        credit = {} if budget % 2 else {"credit": 100_000}
        socket.send(orjson.dumps({"op": "subscribe", "batch": batch, "after": after, **credit}).decode())
        try:
            while budget > 0:
                text = socket.recv(timeout=HANG_SECONDS)
                budget -= len(text)
                message = orjson.loads(text)
                if message["op"] == "end":
                    return found, True
                if message["op"] == "event":
                    found.append(message["seq"])
        except ConnectionClosed:
            pass
        # Cut, without a word of goodbye.
        socket.socket.close()
    return found, False


def received(api: ServedApi, path: str, headers: dict[str, str], budget: int) -> bytes:
    """Return the first bytes of the body of an answer."""
    body = bytearray()
    chosen = {"Accept-Encoding": "identity"} | headers
    with (
        httpx2.Client(base_url=api.url, timeout=HANG_SECONDS, trust_env=False) as client,
        client.stream("GET", path, headers=chosen) as answer,
    ):
        assert answer.status_code in (200, 204)
        for chunk in answer.iter_raw(1024):
            body += chunk
            if len(body) >= budget:
                break
    return bytes(body[:budget])


Way = Callable[[ServedApi, str, int, int], tuple[list[int], bool]]
WAYS: tuple[Way, ...] = (read_page, read_lines, read_stream, read_socket)
