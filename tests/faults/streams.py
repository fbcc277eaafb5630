"""A site of streams: consumers read a stream through a proxy, workers process, and events go to a stream through it.

Consumers and workers are killed and suspended, connections are cut and silenced. Afterwards each message is one item,
each event has arrived at least once with its bytes, and every batch has one completion.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import orjson
from sqlalchemy import func, select

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.row import Row, rows
from pipeline.database.schema import upgrade_schema
from pipeline.database.tables import batches, deliveries, events, intakes, items
from pipeline.domain.event import EventType
from pipeline.domain.ids import webhook_id
from tests.faults.ordeal import Violated
from tests.support.cut_proxy import CutProxy
from tests.support.receiver import SECRET
from tests.support.servers.postgres import Postgres
from tests.support.servers.redis import Redis
from tests.support.servers.server import Server
from tests.support.servers.worker import LEASE_SECONDS, ROOT, Worker, wait_for

STREAMS = "streams"
SIZES = (40, 200, 600)
#: One message in so many cannot be an item.
POISON_EVERY = 25
FAULTS_A_ROUND = 3
#: Seconds after the last fault until everything must be done.
SETTLE_SECONDS = 120.0
DEFINITION = """
name = "streams"
[input]
text = "text"
[classify]
use = "keywords"
rules = [{ label = "a", any = ["message"] }]
"""


class Consumer(Worker):
    """One `pipeline consume`."""

    name = "consumer"
    program: ClassVar[tuple[str, ...]] = ("pipeline", "consume")

    @property
    def is_ready(self) -> bool:
        return "takes messages from" in self.log


class ThreadedProxy:
    """A `CutProxy` in a thread."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._proxy = CutProxy(port)
        threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result()
        self.port = self._proxy.port

    def call(self, method: Callable[[CutProxy], object]) -> None:
        """Call a method of the proxy in its loop."""
        self._loop.call_soon_threadsafe(method, self._proxy)

    def close(self) -> None:
        """Cut everything, and stop."""
        asyncio.run_coroutine_threadsafe(self._proxy.__aexit__(None, None, None), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)


class StreamRounds:
    """One round after the other, with faults by lot."""

    def __init__(self, folder: Path, stack: ExitStack, random: Random) -> None:
        self._random = random
        postgres, broker = stack.enter_context(Postgres()), stack.enter_context(Redis())
        self._store = stack.enter_context(Redis())
        self._proxy = ThreadedProxy(self._store.port)
        stack.callback(self._proxy.close)
        connections, definition = folder / "connections.toml", folder / "streams.toml"
        connections.write_text(f'[store]\nurl = "redis://127.0.0.1:{self._proxy.port}/0"\n')
        definition.write_text(DEFINITION)
        given = {
            "database_url": postgres.database(),
            "broker_url": broker.url,
            "lease_seconds": LEASE_SECONDS,
            "webhook_secret": SECRET,
            "connections": connections,
        }
        self._context: Context = self._open(given, stack)
        environment = {f"PIPELINE_{name.upper()}": str(value) for name, value in given.items()}
        environment["PYTHONPATH"] = str(ROOT)
        out = "conn://store/out"
        words = [
            *("conn://store/in", "-p", str(definition), "--callback-url", out, "--batch-callback-url", out),
            *("--reject-to", "conn://store/rejected", "--roll-items", "60", "--roll-idle", "1", "--chunk", "20"),
        ]
        self._workers: list[Worker] = [Worker(environment), Worker(environment)]
        self._consumers: list[Worker] = [Consumer(environment, *words), Consumer(environment, *words)]
        self._lock, self._closing = threading.Lock(), threading.Event()
        for process in self._processes:
            stack.callback(process.close)
            process.relaunch()
        keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        keeper.start()
        stack.callback(keeper.join)
        stack.callback(self._closing.set)
        wait_for(lambda: all(each.is_ready for each in self._workers + self._consumers))
        self.number, self._good, self._bad = 0, 0, 0
        self._struck: Counter[str] = Counter()
        self._repeats = 0

    @staticmethod
    def _open(given: dict[str, Any], stack: ExitStack) -> Context:
        from pipeline.database.engine import Database

        database = Database(given["database_url"])
        upgrade_schema(database)
        database.close()
        context = make_context(settings.load(**given))
        stack.callback(context.database.close)
        return context

    @property
    def _processes(self) -> list[Server]:
        return [*self._workers, *self._consumers]

    def run_until(self, end: float) -> None:
        """Begin rounds until a `time.monotonic()`.

        Raises:
            Violated: an invariant does not hold.
        """
        while time.monotonic() < end:
            self.number += 1
            self._run(self._random.choice(SIZES))

    def summary(self) -> str:
        """Return what it came to."""
        struck = "".join(f"\n  {number:4} × {name}" for name, number in self._struck.most_common())
        return (
            f"{self.number} rounds, {self._good:,} messages, {self._bad:,} rejected, {self._repeats:,} events arrived "
            f"more than once; {self._struck.total()} faults:{struck}"
        )

    def _run(self, size: int) -> None:
        striking = threading.Thread(target=self._strike, name="faults")
        striking.start()
        with self._store.client() as client:
            for number in range(size):
                if number % POISON_EVERY == POISON_EVERY - 1:
                    self._bad += 1
                    client.xadd("in", {"body": b"no message"})
                else:
                    self._good += 1
                    client.xadd("in", {"body": orjson.dumps({"text": f"message {self._good}"})})
                self._closing.wait(4.0 / size)
        striking.join()
        try:
            wait_for(self._is_settled, SETTLE_SECONDS)
        except AssertionError:
            logs = "\n".join(f"--- {each.name}\n{each.log[-3_000:]}" for each in self._processes)
            raise Violated(f"not settled after {SETTLE_SECONDS:g} s: {self._counts()}\n{logs}") from None
        self._check()

    def _strike(self) -> None:
        for _ in range(FAULTS_A_ROUND):
            self._closing.wait(self._random.uniform(0.2, 1.5))
            fault = self._random.choice(_FAULTS)
            self._struck[fault.__name__.strip("_").replace("_", " ")] += 1
            fault(self)

    def _kill_a_consumer(self) -> None:
        self._kill(self._random.choice(self._consumers))

    def _kill_all_consumers(self) -> None:
        for each in self._consumers:
            self._kill(each)

    def _kill_a_sender(self) -> None:
        self._kill(self._random.choice(self._workers))

    def _suspend_a_consumer(self) -> None:
        chosen = self._random.choice(self._consumers)
        with self._lock:
            if chosen.has_ended:
                return
            chosen.suspend()
        self._closing.wait(1.5 * LEASE_SECONDS)
        with self._lock:
            chosen.resume()

    def _cut_connections(self) -> None:
        self._proxy.call(CutProxy.cut)

    def _silence_connections(self) -> None:
        with self._until_healed(CutProxy.silence):
            self._closing.wait(self._random.uniform(0.5, 3.0))

    def _lose_answers_and_cut(self) -> None:
        with self._until_healed(CutProxy.drop_answers):
            self._closing.wait(self._random.uniform(0.3, 1.5))

    @contextmanager
    def _until_healed(self, method: Callable[[CutProxy], object]) -> Iterator[None]:
        self._proxy.call(method)
        try:
            yield
        finally:
            self._proxy.call(CutProxy.cut)
            self._proxy.call(CutProxy.heal)

    def _kill(self, process: Server) -> None:
        with self._lock:
            process.kill()

    def _keep(self) -> None:
        while not self._closing.wait(0.1):
            with self._lock:
                for process in self._processes:
                    if process.has_ended:
                        process.relaunch()

    def _is_settled(self) -> bool:
        counts = self._counts()
        return counts == (self._good, self._bad, 0, 0)

    def _counts(self) -> tuple[int, int, int, int]:
        """Return items accepted, messages rejected, batches that are not over, deliveries that are under way."""
        with self._context.database.read() as connection:
            counted = connection.execute(select(intakes.c.accepted, intakes.c.rejected)).one_or_none() or (0, 0)
            running = select(func.count()).select_from(batches).where(batches.c.completed_at.is_(None))
            owed = select(func.count()).select_from(deliveries).where(deliveries.c.state != "delivered")
            return counted[0], counted[1], connection.scalar(running) or 0, connection.scalar(owed) or 0

    def _check(self) -> None:
        with self._context.database.read() as connection:
            texts = [orjson.loads(each)["text"] for each in connection.scalars(select(items.c.payload))]
            known = rows(connection.execute(select(batches)))
            log = rows(connection.execute(select(events)))
            sizes = dict(connection.execute(select(items.c.batch_id, func.count()).group_by(items.c.batch_id)).all())
        _hold(
            sorted(texts) == sorted(f"message {each}" for each in range(1, self._good + 1)),
            f"items are not the messages: {len(texts):,} of {self._good:,}, {len(set(texts)):,} different",
        )
        wrong = [row["id"] for row in known if row["total"] != sizes.get(row["id"], 0)]
        _hold(not wrong, f"the totals of batches {wrong} are not the numbers of their items")
        ends = Counter(row["batch_id"] for row in log if row["type"] == EventType.BATCH_COMPLETED)
        _hold(ends == {row["id"]: 1 for row in known}, f"batches did not complete once: {ends}")
        self._check_arrivals(log, {row["id"]: row["public_id"] for row in known})

    def _check_arrivals(self, log: list[Row], names: dict[int, str]) -> None:
        arrived: dict[str, list[bytes]] = {}
        with self._store.client() as client:
            for stream in ("out", "rejected"):
                found: Any = client.xrange(stream)
                for _, fields in found:
                    arrived.setdefault(fields[b"webhook-id"].decode(), []).append(fields[b"body"])
        owed = {webhook_id(names[row["batch_id"]], row["seq"]): bytes(row["body"]) for row in log}
        lost = owed.keys() - arrived.keys()
        _hold(not lost, f"{len(lost):,} of {len(owed):,} events never arrived: {sorted(lost)[:5]}")
        _hold(arrived.keys() <= owed.keys(), "events arrived that never happened")
        changed = [name for name, bodies in arrived.items() if set(bodies) != {owed[name]}]
        _hold(not changed, f"events arrived with other bytes: {changed[:5]}")
        self._repeats = sum(len(bodies) > 1 for bodies in arrived.values())


_FAULTS: tuple[Callable[[StreamRounds], None], ...] = (
    StreamRounds._kill_a_consumer,
    StreamRounds._kill_all_consumers,
    StreamRounds._kill_a_sender,
    StreamRounds._suspend_a_consumer,
    StreamRounds._cut_connections,
    StreamRounds._silence_connections,
    StreamRounds._lose_answers_and_cut,
)


def _hold(holds: bool, what: str) -> None:
    if not holds:
        raise Violated(what)
