"""`pipeline serve` killed at random moments of submissions, reads, replays and uploads in parts.

A round is one batch, as a program would submit, follow and replay it that sends every request again whose answer it did
not get. The server is killed once in each round and started again on the same port.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import orjson
from sqlalchemy import select

from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.tables import batches, events, items, leases
from pipeline.domain.event import EventType
from pipeline.settings import load
from tests.faults.ordeal import Violated
from tests.support.api_process import ApiProcess, api_process
from tests.support.uploads import NDJSON

#: Longest time in which nothing of what a client waits for happens.
PATIENCE = 120.0
PARTS = 16

MODULE = """
import pathlib
from pipeline import Permanent

def classify(item):
    if item.payload["fails"] and not (pathlib.Path(__file__).parent / item.payload["mended"]).exists():
        raise Permanent("not yet")
    return "good"
"""
DEFINITION = """
name = "killed"
[input]
text = "text"
[classify]
use = "killed_gateway_callables:classify"
"""


class KilledServer:
    """A server on one port that is killed and started again."""

    def __init__(self, folder: Path, database_url: str, stack: ExitStack) -> None:
        self._folder, self._url, self._stack = folder, database_url, stack
        self._running: ApiProcess | None = None
        self._port = 0
        (folder / "killed_gateway_callables.py").write_text(MODULE)
        (folder / "killed.toml").write_text(DEFINITION)
        self.context: Context = make_context(load(database_url=database_url))
        stack.callback(self.context.database.close)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        settings = {"database_url": self._url, "definitions": str(self._folder), "lease_seconds": "2"}
        opened = api_process(self._folder, "--port", str(self._port), **settings)
        self._running = self._stack.enter_context(opened)
        self._port = self._running.port

    def describe(self) -> str:
        """Return what there is to see: items of open batches by state, leases, and the end of the log."""
        with self.context.database.read() as connection:
            is_open = items.c.batch_id.in_(select(batches.c.id).where(batches.c.completed_at.is_(None)))
            states = Counter(connection.execute(select(items.c.state, items.c.worker).where(is_open)).tuples())
            held = [tuple(row) for row in connection.execute(select(leases))]
        log = [] if self._running is None else self._running.log[-40:]
        return f"at {self.context.now()}: {dict(states)}\n{held}\n{''.join(log)}"

    def kill(self) -> None:
        assert self._running is not None
        self._running.stop(signal.SIGKILL)


class PersistentClient:
    """Sends a request until it is answered."""

    def __init__(self, server: KilledServer) -> None:
        self._server = server

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Return the answer, once it is none that asks to try again."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = httpx2.request(method, self._server.base + path, timeout=20, trust_env=False, **options)
                passes = answer.status_code == 409 and "retry-after" in answer.headers
                if answer.status_code < 500 and not passes:
                    return answer
                trouble = answer.text
            except httpx2.TransportError as error:
                trouble = repr(error)
            if time.monotonic() > end:
                raise Violated(f"{method} {path} is never answered: {trouble}")
            threading.Event().wait(0.05)

    def lines(self, path: str, **options: Any) -> Iterator[str]:
        """Yield the lines of an answer up to its end, or to that of the connection."""
        try:
            with httpx2.stream("GET", self._server.base + path, timeout=20, trust_env=False, **options) as answer:
                if answer.status_code == 200:
                    yield from answer.iter_lines()
        except httpx2.TransportError:
            threading.Event().wait(0.05)


class LogReader:
    """Follows one batch over connections that break, and goes on where it was."""

    def __init__(self, client: PersistentClient, batch: str, way: str) -> None:
        self._client, self._path, self._way = client, f"/v1/batches/{batch}", way
        self.seqs: list[int] = []

    def read_until(self, last: int) -> None:
        """Read up to the event with this `seq`."""
        grew_at = time.monotonic()
        while not self.seqs or self.seqs[-1] < last:
            number = len(self.seqs)
            getattr(self, f"_{self._way}")(self.seqs[-1] if self.seqs else 0, last)
            # On a busy machine a batch may take minutes, but it goes on.
            if len(self.seqs) > number:
                grew_at = time.monotonic()
            elif time.monotonic() - grew_at > PATIENCE:
                raise Violated(f"a reader by {self._way} stays at {self.seqs[-1:]} of {last}")

    def _page(self, after: int, last: int) -> None:
        page = self._client.send("GET", f"{self._path}/events?after={after}&limit=500&wait=5").json()
        self.seqs += [each["data"]["seq"] for each in page["data"]]

    def _stream(self, after: int, last: int) -> None:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        seq = ""
        for line in self._client.lines(f"{self._path}/events", headers=headers):
            if line.startswith("id: "):
                seq = line[4:]
            elif line.startswith("data: ") and seq:
                self.seqs.append(int(seq))
            elif not line:
                seq = ""
            if self.seqs and self.seqs[-1] >= last:
                return


class KilledGateway:
    """Rounds on one database.

    Args:
        tell: is told of each round.
    """

    def __init__(
        self, folder: Path, database_url: str, stack: ExitStack, chance: random.Random, tell: Callable[[str], object]
    ) -> None:
        self._server = KilledServer(folder, database_url, stack)
        self._client = PersistentClient(self._server)
        self._folder, self._chance, self._tell = folder, chance, tell
        self._phases: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self.number = 0
        self._server.start()

    def run(self, rounds: int, what: str) -> None:
        """Run rounds of `batches` or `uploads`.

        Raises:
            Violated: something was lost, doubled or left half there.
        """
        for _ in range(rounds):
            self.number += 1
            phase = self._chance.choice(("submit", "follow", "replay", "follow replayed"))
            if what == "uploads":
                phase = f"part {self._chance.randint(1, PARTS)}"
            seconds = self._chance.choice((0.02, 0.1, 0.5)) * self._chance.random()
            self._phases = defaultdict(threading.Event)
            # A daemon: a round that is violated may never come to its phase.
            killing = threading.Thread(target=self._kill, args=(self._phases[phase], seconds), daemon=True)
            killing.start()
            try:
                (self._batch if what == "batches" else self._upload)()
            except Violated as violated:
                raise Violated(
                    f"killed {seconds * 1000:.0f} ms into {phase}: {violated}\n{self._server.describe()}"
                ) from None
            # Where nothing had to be replayed, it was not killed yet.
            self._phases[phase].set()
            killing.join()
            self._tell(f"round {self.number}: killed {seconds * 1000:.0f} ms into {phase}")

    def _kill(self, phase: threading.Event, seconds: float) -> None:
        phase.wait()
        threading.Event().wait(seconds)
        self._server.kill()
        self._server.start()

    def _batch(self) -> None:
        total, mended = self._chance.randint(50, 8_000), f"mended-{self.number}"
        fails = {position for position in range(1, total + 1) if self._chance.random() < 0.05}
        body = b"".join(
            orjson.dumps({"text": str(each), "fails": each in fails, "mended": mended}) + b"\n"
            for each in range(1, total + 1)
        )
        headers = NDJSON | {"Idempotency-Key": f"round-{self.number}"}
        self._phases["submit"].set()
        answer = self._client.send("POST", "/v1/batches?definition=killed", content=body, headers=headers)
        if answer.status_code not in (200, 201) or answer.json()["total"] != total:
            raise Violated(f"the submission is answered {answer.status_code}: {answer.text}")
        batch = answer.json()["batch_id"]
        readers = [LogReader(self._client, batch, way) for way in ("page", "stream")]
        self._phases["follow"].set()
        self._follow(readers, total + 1)
        (self._folder / mended).touch()
        last = total + 1
        if fails:
            self._phases["replay"].set()
            self._client.send("POST", f"/v1/batches/{batch}/dead/replay", json={"all": True})
            last += len(fails) + 1
            self._phases["follow replayed"].set()
            self._follow(readers, last)
        for reader in readers:
            if reader.seqs != list(range(1, last + 1)):
                raise Violated(f"batch {batch}: a reader's ids are not the log: {reader.seqs[-5:]} of {last}")
        self._check(batch, total, len(fails))

    def _follow(self, readers: list[LogReader], last: int) -> None:
        with ThreadPoolExecutor(len(readers)) as pool:
            for done in [pool.submit(each.read_until, last) for each in readers]:
                done.result()

    def _check(self, batch: str, total: int, fails: int) -> None:
        with self._server.context.database.read() as connection:
            of_key = batches.c.idempotency_key == f"round-{self.number}"
            found = list(connection.scalars(select(batches.c.public_id).where(of_key)))
            row = connection.scalar(select(batches.c.id).where(batches.c.public_id == batch))
            states = Counter(connection.scalars(select(items.c.state).where(items.c.batch_id == row)))
            types = Counter(connection.scalars(select(events.c.type).where(events.c.batch_id == row)))
        expected = Counter({EventType.ITEM_COMPLETED.value: total, EventType.BATCH_COMPLETED.value: 1 + (fails > 0)})
        expected += Counter({EventType.ITEM_FAILED.value: fails})
        if found != [batch] or states != {"succeeded": total} or types != expected:
            raise Violated(f"batch {batch} of {total} items, {fails} of which failed: {found}, {states}, {types}")

    def _upload(self) -> None:
        opened = self._client.send(
            "POST", "/v1/batches", json={"definition": "killed", "parts": True},
            headers={"Idempotency-Key": f"upload-{self.number}"},
        )  # fmt: skip
        path = opened.headers["location"]
        sizes = [self._chance.randint(1, 900) for _ in range(PARTS)]

        def put(number: int) -> None:
            self._phases[f"part {number}"].set()
            line = orjson.dumps({"text": f"part {number}", "fails": False, "mended": ""}) + b"\n"
            sent = self._client.send("PUT", f"{path}/parts/{number}", content=line * sizes[number - 1], headers=NDJSON)
            if sent.status_code not in (200, 201):
                raise Violated(f"part {number} is answered {sent.status_code}: {sent.text}")

        # Half of the bulk threads of the server: none of them is refused.
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(put, self._chance.sample(range(1, PARTS + 1), PARTS)))
        sealed = self._client.send("POST", f"{path}/seal", json={"parts": PARTS, "items": sum(sizes)})
        if sealed.status_code != 200:
            raise Violated(f"sealing is answered {sealed.status_code}: {sealed.text}")
        with self._server.context.database.read() as connection:
            row = connection.scalar(select(batches.c.id).where(batches.c.public_id == sealed.json()["batch_id"]))
            stored = Counter(connection.scalars(select(items.c.position).where(items.c.batch_id == row)))
        wanted = {(part * 1_000_000) + each for part, size in enumerate(sizes) for each in range(1, size + 1)}
        if stored.keys() != wanted or set(stored.values()) != {1}:
            raise Violated(f"{path}: {len(stored)} items are stored of {len(wanted)}")
