"""Every contestant does the whole job: each item stored, right, called back once, and again if it was refused."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Lock, Thread

import pytest

from benchmarks.comparison.entrant import ENTRANTS, Entrant
from benchmarks.comparison.receiver import Receiver
from benchmarks.comparison.trial import Bench
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis

ITEMS = 20
#: Libraries of contestants, which only `make bench` installs.
LIBRARIES = ("dbos", "dramatiq", "pgqueuer", "procrastinate", "saq", "taskiq_redis")
MISSING = [library for library in LIBRARIES if find_spec(library) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; pip install -e '.[test,bench]'"),
]


class RefusingReceiver:
    """Refuses the first callback of every tenth item, and remembers those that it accepted."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._accepted: list[str] = []
        self.refused: set[str] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204 if receiver.accepts(self.headers["Webhook-Id"]) else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def accepts(self, name: str) -> bool:
        with self._lock:
            if name.endswith("0") and name not in self.refused:
                self.refused.add(name)
                return False
            self._accepted.append(name)
            return True

    def forget(self) -> None:
        with self._lock:
            self._accepted = []
            self.refused = set()

    def ids(self) -> list[str]:
        with self._lock:
            return list(self._accepted)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def refusing_receiver() -> Iterator[RefusingReceiver]:
    receiver = RefusingReceiver()
    thread = Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def brokers(entrant: Entrant, request: pytest.FixtureRequest) -> dict[str, Redis | RabbitMQ]:
    return {} if entrant.broker == "none" else {entrant.broker: request.getfixturevalue(entrant.broker)}


every_entrant = pytest.mark.parametrize("entrant", ENTRANTS, ids=lambda entrant: entrant.title)


@every_entrant
def test_a_contestant_does_every_item_once(
    entrant: Entrant, brokers: dict[str, Redis | RabbitMQ], postgres: Postgres, receiver: Receiver
) -> None:
    trial = Bench(postgres, brokers, receiver).run(entrant, entrant.ways[0], 1, ITEMS, 2)
    assert trial.complaints == ()


@every_entrant
def test_a_contestant_retries_callbacks_that_were_refused(
    entrant: Entrant,
    brokers: dict[str, Redis | RabbitMQ],
    postgres: Postgres,
    refusing_receiver: RefusingReceiver,
) -> None:
    trial = Bench(postgres, brokers, refusing_receiver).run(entrant, entrant.ways[0], 1, ITEMS, 2)
    assert refusing_receiver.refused
    assert trial.complaints == ()
